"""What a report says besides its plots: HTML from the files of a run."""

import math
from html import escape

from smartgrowth.growth import summarize
from smartgrowth.metrics import confusion
from smartgrowth.rendering import contact_sheet
from smartgrowth.rendering.html import gallery, table
from smartgrowth.rendering.text import name_of, shares, short_name, show
from smartgrowth.runs import files
from smartgrowth.runs.reader import Run, malformed, read_json, read_records

CONFUSIONS = 10
BARS = 60  # classes; of more, half as many are shown
PICTURES = 20  # of the hardest; the others are in a drawer
PICTURE = 128  # pixels a side, at most
SHEET = 1400  # pixels of the augmentation sheet's width, at most
HARD_COLUMNS = ("image", "class", "taken_for", "confidence")


def state(run: Run) -> str:
    """Whether it is finished, as HTML."""
    done = int(run.figures.get("step", 0))
    if run.metrics:
        return f"finished after {run.steps:,} steps"
    return (
        f"<b>still running: step {done:,} of {run.steps:,}</b>. The figures "
        "are of the last evaluation. A run that was stopped goes on when its "
        "command is given again."
    )


def growth(run: Run) -> str:
    """Returns what grows in a run, stage by stage, in words."""
    return summarize(run.stages)


def headline(run: Run, calibration_error: float | None) -> str:
    """Tiles of the figures that matter most."""
    planned = show("gflops", sum(stage["gflops"] for stage in run.stages))
    notes = {
        "val_accuracy": f"all classes, {run.size} px",
        "val_top5": f"all classes, {run.size} px",
        "val_loss": f"all classes, {run.size} px",
        "calibration_error": "between sureness and accuracy",
        "gflops": f"of {planned} planned",
        "train_seconds": "without validation",
        "parameters": "",
    }
    known = run.figures | {"calibration_error": calibration_error}
    raw = run.metrics.get("raw_val_accuracy")
    if raw is not None:
        notes["val_accuracy"] += (
            f", averaged weights; without averaging "
            f"{show('raw_val_accuracy', raw)}"
        )
    tiles = [
        (name_of(name), show(name, known.get(name)), note)
        for name, note in notes.items()
    ]
    tiles.append(("What grew", growth(run), ""))
    return "".join(
        f"<div><dt>{label}<dd><b>{escape(value)}</b><dd>{note}</div>\n"
        for label, value, note in tiles
    )


def stage_table(run: Run) -> str:
    """What each stage showed, cost and took, its boundary besides."""
    names = "stage image_size num_classes num_images samples_per_class "
    names += "batch_size steps gflops share stage_seconds boundary_seconds"
    percentages = shares([stage["gflops"] for stage in run.stages])
    rows = []
    for index, stage in enumerate(run.stages):
        row = stage | {"stage": str(index + 1), "share": percentages[index]}
        for name in ("stage_seconds", "boundary_seconds"):
            times = run.metrics.get(name) or []
            # Boundaries may be counted between stages only: the first has none.
            place = index - len(run.stages) + len(times)
            row[name] = times[place] if place >= 0 else None
        rows.append([show(name, row.get(name)) for name in names.split()])
    return table(map(name_of, names.split()), rows)


def final_figures(run: Run) -> str:
    """metrics.json as a table, but for lists and versions."""
    if not run.metrics:
        return "<p>They come when the run ends.</p>"
    rows = [
        (name_of(name), show(name, value))
        for name, value in run.metrics.items()
        if not isinstance(value, list | dict)
    ]
    return table(("Figure", "Value"), rows)


def confusions(outcome) -> str:
    """The most frequent confusions of an `outcome.Outcome` as a list."""
    pairs = confusion.worst_pairs(outcome.matrix, CONFUSIONS)
    images = outcome.matrix.sum(axis=1)
    lines = ""
    for label, guess, count in pairs:
        truth, taken = (escape(outcome.names[k]) for k in (label, guess))
        lines += f"<li><b>{truth}</b> taken for <b>{taken}</b>: "
        lines += f"{count} of {images[label]} images</li>\n"
    lines = lines or "<li>None: every image was recognized.</li>"
    return f"<h3>Most frequent confusions</h3>\n<ol>\n{lines}</ol>"


def class_bars(outcome) -> str:
    """The accuracy of each class, or of the least accurate, as HTML bars."""
    rows = outcome.by_class
    lines = ""
    for row in rows if len(rows) <= BARS else rows[: BARS // 2]:
        share = f"{row.accuracy:.0%}"
        lines += (
            f"<li><span>{escape(outcome.names[row.label])}</span>"
            f'<i style="--share: {share}"></i><b>{share}</b></li>\n'
        )
    which = f": the {BARS // 2} least of {len(rows)}" * (len(rows) > BARS)
    return (
        f"<h3>Accuracy of each class{which}</h3>\n"
        f'<ol class="bars">\n{lines}</ol>'
    )


def class_table(outcome) -> str:
    """Every class of an `outcome.Outcome`, the least accurate first."""
    head = ("Class", "Images", "Accuracy", "Precision", "Most taken for")
    rows = []
    for row in outcome.by_class:
        sure = "–" if math.isnan(row.precision) else f"{row.precision:.1%}"
        rival = "–"
        if row.rival is not None:
            rival = f"{outcome.names[row.rival]} ({row.mistaken})"
        rows.append(
            (
                outcome.names[row.label],
                f"{row.images:,}",
                f"{row.accuracy:.1%}",
                sure,
                rival,
            )
        )
    return table(head, rows)


def hardest(run: Run) -> str:
    """Pictures of what was got wrong most surely, a part for each split."""
    parts = ""
    for split, (listed, sheet) in reversed(files.HARD.items()):
        path = run.directory / listed
        rows = read_records(path, HARD_COLUMNS)
        if not path.is_file():
            continue
        what = "Training" if split == "train" else "Validation"
        parts += f"<h3>{what} images, {len(rows):,} wrong in all</h3>\n"
        shown = _pictures(run.directory / sheet, rows)
        parts += gallery(shown[:PICTURES]) if shown else ""
        if shown[PICTURES:]:
            parts += (
                f"<details><summary>{len(shown) - PICTURES} more</summary>\n"
                f"{gallery(shown[PICTURES:])}</details>\n"
            )
    return parts and (
        "<h2>Hardest images</h2>\n<p>Those that it was most sure about and got "
        f"wrong.</p>\n{parts}"
    )


def _pictures(path, rows):
    """What `page.gallery` takes, of a contact sheet and its list's rows."""
    if not path.is_file():
        return []
    try:
        images = contact_sheet.cut(path.read_bytes())
        found = []
        for image, row in zip(images, rows, strict=False):
            name, taken = short_name(row["class"]), short_name(row["taken_for"])
            words = f"{name}: taken for {taken}, {float(row['confidence']):.0%}"
            uri = contact_sheet.data_uri(image, PICTURE)
            found.append(([(uri, f"{words}. {row['image']}")], words))
    except (OSError, ValueError) as error:
        raise malformed(path, error) from error
    return found


def test_time(run: Run) -> str:
    """What evaluation.json says of test-time augmentation."""
    path = run.directory / files.EVALUATION
    found = read_json(path)
    if not found:
        return ""
    rows = []
    try:
        for name, row in found["variants"].items():
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
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise malformed(path, f"`variants`: {error!r}") from error
    head = ("Views", "Accuracy", "Gain in points", "Passes", "Cost")
    head += ("Images a second", "Calibration error")
    return (
        "<h2>Test-time augmentation</h2>\n<p>Several views of each validation "
        "image vote, by the mean of their probabilities. ±: a 95% interval of "
        "the gain.</p>\n"
        f'<div class="stages" tabindex="0">{table(head, rows)}</div>'
    )


def audit(run: Run) -> str:
    """The findings of audit.json as a table."""
    path = run.directory / files.AUDIT
    found = read_json(path)
    if not found:
        return ""
    words = {True: "pass", False: "FAIL", None: "–"}
    try:
        rows = [
            (each["rule"], words[each["passed"]], each["detail"])
            for each in found["findings"]
        ]
    except (LookupError, TypeError) as error:
        raise malformed(path, f"`findings`: {error!r}") from error
    return (
        "<h2>Rules of the assignment</h2>\n"
        f'<div class="words">{table(("Rule", "Verdict", "Found"), rows)}</div>'
    )


def augmentation(run: Run) -> str:
    """The sheet of augmented images, where the run has one."""
    path = run.directory / files.AUGMENTATION
    if not path.is_file():
        return ""
    try:
        uri = contact_sheet.file_uri(path.read_bytes(), SHEET)
    except (OSError, ValueError) as error:
        raise malformed(path, error) from error
    names = escape(run.flags.get("augment", "augmentation"))
    return (
        "<h2>Augmentation</h2>\n"
        f'<img src="{uri}" alt="Training images as --augment={names} shows '
        'them: each variant alone, then the first images of every stage">'
    )


def made_with(run: Run) -> str:
    """Versions and machine, as far as metrics.json knows them."""
    rows = [
        (name, show(name, value))
        for key in ("versions", "numerics")
        for name, value in (run.metrics.get(key) or {}).items()
    ]
    return bool(rows) * (
        "<h2>Versions and machine</h2>\n"
        f'<div class="words">{table(("What", "Which"), rows)}</div>'
    )


def data_section(report: dict) -> str:
    """A store's `Data.report` as HTML: counts and the first five of each."""
    lines = ""
    for name, found in report.items():
        if isinstance(found, dict) and not any(
            isinstance(value, (int, float)) for value in found.values()
        ):
            found = list(found.items())  # reasons by path
        if not isinstance(found, list):
            lines += (
                f"<p>{escape(f'{name_of(name)}: {show(name, found)}')}</p>\n"
            )
            continue
        lines += f"<p>{escape(name_of(name))}: {len(found):,}</p>\n<ul>\n"
        for item in found[:5]:
            if isinstance(item, dict):
                item = tuple(item.values())
            parts = item if isinstance(item, (tuple, list)) else [item]
            lines += f"<li>{escape(': '.join(map(str, parts)))}</li>\n"
        more = f"<li>and {len(found) - 5:,} more</li>\n"
        lines += more * (len(found) > 5) + "</ul>\n"
    return lines and f"<h2>Data refused or repaired</h2>\n{lines}"
