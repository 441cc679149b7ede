"""The tables and tiles of a report: records from a run's files."""

import math

from smartgrowth.growth import summarize
from smartgrowth.rendering import contact_sheet
from smartgrowth.rendering.html import Picture, Table, Tile
from smartgrowth.rendering.text import name_of, shares, show
from smartgrowth.report import data_report
from smartgrowth.report.outcome import Outcome
from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, read_json
from smartgrowth.runs.reader import Run

BARS = 60  # most classes with a bar each; with more, the worst half as many
SHEET = 1400  # width of the augmentation sheet in pixels, at most


def growth(run: Run) -> str:
    """Returns what grows in a run, stage by stage, in words."""
    return summarize(run.stages)


def headline(run: Run, calibration_error: float | None) -> list[Tile]:
    """Returns tiles of the figures that matter most."""
    planned = show("gflops", sum(stage["gflops"] for stage in run.stages))
    notes = {
        "val_accuracy": f"all classes, {run.size} px",
        "val_top5": f"all classes, {run.size} px",
        "val_loss": f"all classes, {run.size} px",
        "calibration_error": "between confidence and accuracy",
        "gflops": f"of {planned} planned",
        "train_seconds": "without validation",
        "parameters": "",
    }
    if not run.has_top5:
        del notes["val_top5"]
    known = run.figures | {"calibration_error": calibration_error}
    raw = run.metrics.get("raw_val_accuracy")
    if raw is not None:
        notes["val_accuracy"] += (
            f", averaged weights; without averaging "
            f"{show('raw_val_accuracy', raw)}"
        )
    tiles = [
        Tile(name_of(name), show(name, known.get(name)), note)
        for name, note in notes.items()
    ]
    return [*tiles, Tile("What grew", growth(run))]


def stage_table(run: Run) -> Table:
    """Returns each stage's images, cost and time, and its boundary's time."""
    names = "stage image_size num_classes num_images samples_per_class "
    names += "batch_size steps gflops share stage_seconds boundary_seconds"
    percentages = shares([stage["gflops"] for stage in run.stages])
    rows = []
    for index, stage in enumerate(run.stages):
        row = stage | {"stage": str(index + 1), "share": percentages[index]}
        for name in ("stage_seconds", "boundary_seconds"):
            times = run.metrics.get(name) or []
            # Boundaries may be only those between stages: the first has none.
            place = index - len(run.stages) + len(times)
            row[name] = times[place] if place >= 0 else None
        if run.rules and not run.metrics and index > len(run.decisions):
            row |= dict.fromkeys(("steps", "gflops", "share"), "open")
        rows.append([show(name, row.get(name)) for name in names.split()])
    return Table([name_of(name) for name in names.split()], rows)


def final_figures(run: Run) -> Table | None:
    """Returns metrics.json without lists and versions; None before the end."""
    rows = [
        (name_of(name), show(name, value))
        for name, value in run.metrics.items()
        if not isinstance(value, list | dict)
    ]
    return Table(("Figure", "Value"), rows) if run.metrics else None


def class_bars(outcome: Outcome) -> list[tuple[str, str]]:
    """Returns name and accuracy of all classes, or of the least accurate."""
    rows = outcome.by_class
    rows = rows if len(rows) <= BARS else rows[: BARS // 2]
    return [(outcome.names[row.label], f"{row.accuracy:.0%}") for row in rows]


def class_table(outcome: Outcome) -> Table:
    """Returns figures of every class, the least accurate first."""
    head = ("Class", "Images", "Accuracy", "Precision")
    head += ("Most often predicted instead",)
    rows = []
    for row in outcome.by_class:
        precision, rival = "–", "–"
        if not math.isnan(row.precision):
            precision = f"{row.precision:.1%}"
        if row.rival is not None:
            rival = f"{outcome.names[row.rival]} ({row.mistaken})"
        name, accuracy = outcome.names[row.label], f"{row.accuracy:.1%}"
        rows.append((name, f"{row.images:,}", accuracy, precision, rival))
    return Table(head, rows)


def test_time(run: Run) -> Table | None:
    """Returns test-time augmentation's figures from evaluation.json."""
    path = run.directory / files.EVALUATION
    evaluation = read_json(path)
    if not path.is_file():
        return None
    rows = []
    with parsing(path):
        for name, row in evaluation["variants"].items():
            change = "–"
            if name != "plain":
                gain, margin = 100 * row["gain"], 100 * row["gain_margin"]
                change = f"{gain:+.2f} ± {margin:.2f}".replace("-", "−")
            rows.append(
                (
                    name,
                    f"{row['accuracy']:.2%}",
                    change,
                    f"{row['passes']}",
                    f"{row['cost']:.1f} x",
                    f"{row['images_per_second']:,.0f}",
                    show("calibration_error", row["calibration_error"]),
                )
            )
    head = ("Views", "Accuracy", "Gain in points", "Passes", "Cost")
    return Table((*head, "Images per second", "Calibration error"), rows)


def audit(run: Run) -> Table | None:
    """Returns the findings of audit.json."""
    path = run.directory / files.AUDIT
    findings = read_json(path)
    if not path.is_file():
        return None
    words = {True: "pass", False: "FAIL", None: "–"}
    with parsing(path):
        rows = [
            (each["rule"], words[each["passed"]], each["detail"])
            for each in findings["findings"]
        ]
    return Table(("Rule", "Verdict", "Found"), rows)


def augmentation(run: Run) -> Picture | None:
    """Returns the sheet of augmented images; None if the run has none."""
    path = run.directory / files.AUGMENTATION
    if not path.is_file():
        return None
    with parsing(path):
        uri = contact_sheet.file_uri(path.read_bytes(), SHEET)
    names = run.flags.get("augment", "augmentation")
    return Picture(
        uri,
        f"Training images as --augment={names} changes them: each variant "
        "alone, then the first images of every stage",
    )


def data_problems(run: Run) -> list[data_report.Entry]:
    """Returns the entries of data_report.json."""
    path = run.directory / files.DATA_REPORT
    reported = read_json(path)
    with parsing(path):
        return data_report.entries(reported)


def made_with(run: Run) -> Table | None:
    """Returns versions and machine, as far as metrics.json has them."""
    rows = [
        (name, show(name, value))
        for key in ("versions", "numerics")
        for name, value in (run.metrics.get(key) or {}).items()
    ]
    return Table(("What", "Which"), rows) if rows else None
