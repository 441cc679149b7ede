"""One page about one run: `report.html` and its plots, from a run directory.

It reads files and nothing else (no model, no TensorFlow), so it also serves a
run that is still going. Comparing several runs is compare.py's work.
"""

import base64
import collections
import itertools
import pathlib
import string
from html import escape

from smartgrowth import UserError, run_directory
from smartgrowth.plots import PLOTS, THEMES, draw
from smartgrowth.run_reader import (
    read_json,
    read_lines,
    read_predictions,
    read_run,
)
from smartgrowth.wording import name_of, shares, show


def write_report(directory: pathlib.Path) -> pathlib.Path:
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
    directory = pathlib.Path(directory)
    run = read_run(directory)
    files, plots = {}, ""
    for name, (title, _) in PLOTS.items():
        (light, alt), (dark, _) = (draw(name, run, theme) for theme in THEMES)
        files[f"{name}.png"] = light
        plots += PLOT.substitute(
            light=base64.b64encode(light).decode(),
            dark=base64.b64encode(dark).decode(),
            title=title,
            alt=escape(f"{title}: {alt or 'no evaluation yet'}."),
        )
    page = PAGE.substitute(
        title=escape("{model} on {dataset}".format_map(run.flags)),
        name=escape(directory.resolve().name),
        state=_state(run),
        headline=_headline(run),
        plots=plots,
        stages=_stage_table(run),
        figures=_final_figures(run),
        confusions=_confusions(run),
        data_report=_data_report(run),
        flags=escape("\n".join(read_lines(directory / run_directory.FLAGS))),
    )
    files[run_directory.REPORT] = page.encode()
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


def _growth(run):
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
    tiles.append(("What grew", _growth(run), ""))
    return "".join(
        f"<div><dt>{label}<dd><b>{escape(value)}</b><dd>{note}</div>\n"
        for label, value, note in tiles
    )


def _table(head, rows):
    lines = ["".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)]
    for row in rows:
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in row))
    lines = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n{lines}\n</table>"


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
    return _table(map(name_of, names.split()), rows)


def _final_figures(run):
    if not run.metrics:
        return "<p>They come when the run ends.</p>"
    rows = [
        (name_of(name), show(name, value))
        for name, value in run.metrics.items()
        if not isinstance(value, list)
    ]
    return _table(("Figure", "Value"), rows)


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


def _data_report(run):
    """Lists what the store refused or repaired: counts and the first five."""
    lines = ""
    for name, found in read_json(
        run.directory / run_directory.DATA_REPORT
    ).items():
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


PLOT = string.Template("""<figure>
<h3>$title</h3>
<picture>
<source media="(prefers-color-scheme: dark)"
 srcset="data:image/png;base64,$dark">
<img src="data:image/png;base64,$light" alt="$alt">
</picture>
</figure>
""")
PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title: $name</title>
<style>
:root { --paper: #fff; --ink: #24292f; --soft: #57606a; --line: #d0d7de;
  --tile: #f3f5f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #1b1f24; --ink: #dde3ea;
  --soft: #a3adb8; --line: #3d4650; --tile: #252b32; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); margin: 0 auto;
  max-width: 76rem; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2, summary { font-size: 1.25rem; font-weight: 700; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
header p, dt, dd + dd { color: var(--soft); font-size: .875rem; }
dl { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(10.5rem, 45%), 1fr)); }
dl div { background: var(--tile); border-radius: .5rem; padding: .7rem 1rem; }
dl div:last-child { grid-column: 1 / -1; }
dd { margin: 0; }
dd b { font-size: 1.3rem; font-weight: 600; }
dl div:last-child b { font-size: 1rem; }
main > div { overflow-x: auto; }
.plots { display: grid; gap: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; }
img { display: block; height: auto; width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem 1rem .4rem 0;
  text-align: right; vertical-align: bottom; }
.stages { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { background: var(--tile); border-radius: .5rem; padding: 1rem;
  white-space: pre-wrap; }
</style>
</head>
<body>
<header><h1>$title</h1><p>$name: $state</p></header>
<main>
<dl>
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
<details><summary>Flags</summary><pre>$flags</pre></details>
</main>
</body>
</html>
""")
