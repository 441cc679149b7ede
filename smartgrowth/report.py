"""One page about one run: `report.html` and its plots, from a run directory.

It reads files and nothing else (no model, no TensorFlow), so it also serves a
run that is still going. Comparing several runs is compare.py's work.
"""

import collections
import itertools
import pathlib
import string
from html import escape

from smartgrowth import UserError, run_directory
from smartgrowth.page import document, figure, table
from smartgrowth.plots import PLOTS, THEMES, draw
from smartgrowth.run_reader import (
    read_json,
    read_lines,
    read_predictions,
    read_run,
)
from smartgrowth.wording import name_of, shares, show


def write_report(directory: pathlib.Path | str) -> pathlib.Path:
    """Writes `report.html` and its four plots into a run directory.

    The page needs nothing beside it. The plots are in it twice, for light and
    for dark screens; the light ones are also written as loss.png, accuracy.png,
    loss_by_size.png and learning_rate.png.

    Args:
        directory: the `--workdir` of a run, finished or still going.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: it is not a run directory, a file in it is malformed, or it
          cannot be written.
    """
    directory = pathlib.Path(directory).expanduser()
    run = read_run(directory)
    files, plots = {}, ""
    for name, (title, _) in PLOTS.items():
        (light, alt), (dark, _) = (draw(name, run, theme) for theme in THEMES)
        files[f"{name}.png"] = light
        alt = f"{title}: {alt or 'no evaluation yet'}."
        plots += figure(title, light, dark, alt)
    body = BODY.substitute(
        headline=_headline(run),
        plots=plots,
        stages=_stage_table(run),
        figures=_final_figures(run),
        confusions=_confusions(run),
        data_report=data_section(
            read_json(directory / run_directory.DATA_REPORT)
        ),
        flags=escape("\n".join(read_lines(directory / run_directory.FLAGS))),
    )
    files[run_directory.REPORT] = document(
        "{model} on {dataset}".format_map(run.flags),
        directory.resolve().name,
        _state(run),
        body,
    ).encode()
    try:
        for name, content in files.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{directory / name} cannot be written ({error.strerror or error})"
            "; make room there and give `--mode=report`"
        ) from error
    return directory / run_directory.REPORT


def _state(run):
    done = int(run.figures.get("step", 0))
    if run.metrics:
        return f"finished after {run.steps:,} steps"
    return (
        f"<b>still running: step {done:,} of {run.steps:,}</b>. The figures "
        "are of the last evaluation. A run that was stopped goes on when its "
        "command is given again."
    )


def growth(run) -> str:
    """What grows in a `run_reader.Run`, stage by stage."""
    grown = []
    names = "samples_per_class num_classes image_size augmentation trainable"
    for name in names.split():
        values = [show(name, stage.get(name)) for stage in run.stages]
        values = [value for value, _ in itertools.groupby(values)]
        if len(values) > 5:
            values[2:-1] = ["…"]
        if len(values) > 1:
            grown.append(f"{name_of(name).lower()} {' → '.join(values)}")
    return "; ".join(grown) or "nothing: a plain baseline"


def _headline(run):
    planned = show("gflops", sum(stage["gflops"] for stage in run.stages))
    notes = {
        "val_accuracy": f"all classes, {run.size} px",
        "val_top5": f"all classes, {run.size} px",
        "val_loss": f"all classes, {run.size} px",
        "gflops": f"of {planned} planned",
        "train_seconds": "without validation",
        "parameters": "",
    }
    tiles = [
        (name_of(name), show(name, run.figures.get(name)), note)
        for name, note in notes.items()
    ]
    tiles.append(("What grew", growth(run), ""))
    return "".join(
        f"<div><dt>{label}<dd><b>{escape(value)}</b><dd>{note}</div>\n"
        for label, value, note in tiles
    )


def _stage_table(run):
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


def _final_figures(run):
    if not run.metrics:
        return "<p>They come when the run ends.</p>"
    rows = [
        (name_of(name), show(name, value))
        for name, value in run.metrics.items()
        if not isinstance(value, list)
    ]
    return table(("Figure", "Value"), rows)


def _confusions(run):
    """Lists the ten confusions of classes that were most frequent."""
    predictions = read_predictions(run.directory)
    if predictions is None:
        return ""
    labels, guesses = (array.tolist() for array in predictions)
    pairs = collections.Counter(zip(labels, guesses, strict=True))
    images = collections.Counter(labels)
    names = dict(enumerate(read_lines(run.directory / run_directory.CLASSES)))
    wrong = [each for each in pairs.most_common() if each[0][0] != each[0][1]]
    lines = ""
    for pair, count in wrong[:10]:
        truth, guess = (escape(names.get(k, f"class {k}")) for k in pair)
        lines += f"<li><b>{truth}</b> taken for <b>{guess}</b>: "
        lines += f"{count} of {images[pair[0]]} images</li>\n"
    lines = lines or "<li>None: every image was recognized.</li>"
    return f"<h2>Most frequent confusions</h2>\n<ol>\n{lines}</ol>"


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


BODY = string.Template("""<dl>
$headline</dl>
<h2>Plots</h2>
<div class="plots">
$plots</div>
<h2>Stages</h2>
<div class="stages" tabindex="0">$stages</div>
<h2>Final figures</h2>
<div>$figures</div>
$confusions
$data_report
<details><summary>Flags</summary><pre>$flags</pre></details>""")
