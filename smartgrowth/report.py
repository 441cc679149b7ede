"""One page about one run: `report.html` and its plots, from a run directory.

It reads files and nothing else (no model, no TensorFlow), so it also serves a
run that is still going. Comparing several runs is compare.py's work.
"""

import base64
import collections
import csv
import io
import itertools
import json
import math
import pathlib
import string
import types
import zipfile
from html import escape

from smartgrowth import UserError

# Paper, ink, stage bands, axes, then the curves: after Okabe and Ito's palette
# for the colour-blind, at a contrast of 3 to 1 or more. Strokes differ as well.
THEMES = {
    "light": "#ffffff #24292f #eaeef3 #aab2bc #0072b2 #c44e00 #00805e #9a3d7c",
    "dark": "#1b1f24 #dde3ea #2b323b #5f6a76 #56b4e9 #f0953c #2cc79b #e59bc6",
}
STROKES = ("o-", "s-", "^--", "D:")
WIDTH, HEIGHT = 5.0, 3.6  # inches: two abreast on a laptop, one on a phone
NAMES = {
    "val_accuracy": "Validation accuracy",
    "val_top5": "Top-5 accuracy",
    "val_loss": "Validation loss",
    "tta_accuracy": "Accuracy with test-time augmentation",
    "gflops": "Cost",
    "train_seconds": "Training time",
    "wall_seconds": "Time with validation",
    "num_classes": "Classes",
    "num_images": "Images",
    "samples_per_class": "Images per class",
    "stage_seconds": "Time",
    "boundary_seconds": "Boundary",
}
LOSSES = {
    "train_loss": "training",
    "val_loss": "validation at {} px",
    "stage_val_loss": "validation as the stage sees it",
}
ACCURACIES = {
    "train_accuracy": "training",
    "val_accuracy": "validation at {} px",
    "val_accuracy_at_size": "validation at the stage's size",
    "stage_val_accuracy": "… and with its classes only",
}
RATES = {"lr": "learning rate", "momentum": "momentum"}
LOG_COLUMNS = ["step", "stage", "image_size", *LOSSES, *ACCURACIES, *RATES]
LOG_COLUMNS += ["val_top5", "gflops", "train_seconds"]


def write_report(run_directory: pathlib.Path) -> pathlib.Path:
    """Writes `report.html` and its four plots into a run directory.

    The page needs nothing beside it. The plots are in it twice, for light and
    for dark screens; the light ones are also written as loss.png, accuracy.png,
    loss_by_size.png and learning_rate.png.

    Args:
        run_directory: the `--workdir` of a run, finished or still going.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: it is not a run directory, or a file in it is malformed.
    """
    run = _read_run(pathlib.Path(run_directory))
    plots = ""
    for name, (title, draw) in PLOTS.items():
        (light, alt), (dark, _) = (
            _picture(draw, run, theme) for theme in THEMES
        )
        (run.directory / f"{name}.png").write_bytes(light)
        plots += PLOT.substitute(
            light=base64.b64encode(light).decode(),
            dark=base64.b64encode(dark).decode(),
            title=title,
            alt=escape(f"{title}: {alt or 'no evaluation yet'}."),
        )
    page = PAGE.substitute(
        title=escape("{model} on {dataset}".format_map(run.flags)),
        name=escape(run.directory.resolve().name),
        state=_state(run),
        headline=_headline(run),
        plots=plots,
        stages=_stage_table(run),
        figures=_final_figures(run),
        confusions=_confusions(run),
        data_report=_data_report(run),
        flags=escape("\n".join(_read_lines(run.directory / "flags.txt"))),
    )
    path = run.directory / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


# Reading. Every file but plan.json may still be missing.


def _read_run(directory):
    if not (directory / "plan.json").is_file():
        raise UserError(
            f"{directory} is not a run directory: it has no plan.json. Give "
            "the `--workdir` of a run that `--mode=train` has started."
        )
    stages = _read_json(directory / "plan.json").get("stages")
    try:
        for stage in stages:
            stage["steps"] = int(stage["steps"])
            stage["image_size"] = int(stage["image_size"])
            stage["gflops"] = float(stage.get("gflops") or 0)
        final_size = stages[-1]["image_size"]
    except (TypeError, ValueError, LookupError) as error:
        problem = "`stages` must list stages with `steps` and `image_size`"
        raise _malformed(directory / "plan.json", problem) from error
    log = _read_table(directory / "log.csv", LOG_COLUMNS)
    if not log["stage"].isin(range(len(stages))).all():
        problem = f"a stage is not one of plan.json's 0 to {len(stages) - 1}"
        raise _malformed(directory / "log.csv", problem)
    schedule = _read_table(directory / "schedule.csv", ["step", *RATES])
    metrics = _read_json(directory / "metrics.json")
    flags = {"model": "a model", "dataset": "a dataset"}
    for line in _read_lines(directory / "flags.txt"):
        name, _, value = line.removeprefix("--").partition("=")
        flags[name] = value
    if flags.get("test_size", "0").isdigit():
        final_size = int(flags.get("test_size", "0")) or final_size
    return types.SimpleNamespace(
        directory=directory,
        stages=stages,
        total=sum(stage["steps"] for stage in stages),
        flags=flags,
        log=log,
        schedule=schedule if len(schedule) else log,
        metrics=metrics,
        # What the last evaluation said, until the final figures are there.
        figures=dict(log.iloc[-1] if len(log) else {}) | metrics,
        size=metrics.get("image_size") or final_size,
    )


def _malformed(path, problem):
    return UserError(
        f"{path} is malformed: {problem}. Put back what training wrote, or "
        "train again with `--restart`."
    )


def _read_lines(path):
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise _malformed(path, error) from error


def _read_json(path):
    try:
        value = json.loads("\n".join(_read_lines(path)) or "{}")
    except json.JSONDecodeError as error:
        raise _malformed(path, error) from error
    if not isinstance(value, dict):
        raise _malformed(path, f"expected an object, got {value!r:.40}")
    return value


def _read_table(path, columns):
    """Returns those columns as a DataFrame of floats; an empty field is NaN."""
    import pandas as pd

    rows = [row for row in csv.reader(_read_lines(path)) if row]
    header = rows.pop(0) if rows else columns
    if missing := [name for name in columns if name not in header]:
        raise _malformed(path, f"it has no column {', '.join(missing)}")
    if rows and len(rows[-1]) < len(header):
        rows.pop()  # the run is writing it just now
    values = []
    for row in rows:
        try:
            fields = dict(zip(header, row, strict=True))
            values.append([float(fields[name] or "nan") for name in columns])
            int(fields["step"])
        except ValueError as error:
            problem = f"{error} in the row {','.join(row)!r:.60}"
            raise _malformed(path, problem) from error
    table = pd.DataFrame(values, columns=columns, dtype=float)
    table = table.drop_duplicates("step", keep="last")
    return table.sort_values("step", ignore_index=True)


# Words and figures.


def _name(name):
    return NAMES.get(name, name.replace("_", " ").capitalize())


def _show(name, value):
    """Returns a figure as a person reads it; its name tells the unit."""
    if name == "samples_per_class" and value is None:
        return "all"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_show(key, of)}" for key, of in value.items())
    if value is None or isinstance(value, (str, bool, list)):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "not finite"
    if name.endswith(("accuracy", "top5")):
        return f"{value:.1%}"
    if name.endswith("loss"):
        return f"{value:.3f}"
    if name.endswith("seconds"):
        minutes, seconds = divmod(round(value), 60)
        if minutes >= 60:
            return f"{minutes // 60} h {minutes % 60} min"
        return f"{minutes} min {seconds} s" if minutes else f"{value:.1f} s"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return shown + {"gflops": " GFLOPs", "image_size": " px"}.get(name, "")


def _stage_label(number, stage):
    names = ("image_size", "num_classes", "samples_per_class")
    size, classes, samples = (_show(name, stage.get(name)) for name in names)
    images = {"all": "all images", "1": "1 image each"}
    images = images.get(samples, f"{samples} images each")
    return f"{number}: {size}, {classes} classes, {images}"


def _state(run):
    done = int(run.figures.get("step", 0))
    if run.metrics:
        return f"finished after {run.total:,} steps"
    return (
        f"<b>still running: step {done:,} of {run.total:,}</b>. The figures "
        "are of the last evaluation. A run that was stopped goes on when its "
        "command is given again."
    )


def _growth(run):
    grown = []
    names = "samples_per_class num_classes image_size augmentation trainable"
    for name in names.split():
        values = [_show(name, stage.get(name)) for stage in run.stages]
        values = [value for value, _ in itertools.groupby(values)]
        if len(values) > 5:
            values[2:-1] = ["…"]
        if len(values) > 1:
            grown.append(f"{_name(name).lower()} {' → '.join(values)}")
    return "; ".join(grown) or "nothing: a plain baseline"


def _headline(run):
    planned = _show("gflops", sum(stage["gflops"] for stage in run.stages))
    notes = {
        "val_accuracy": f"all classes, {run.size} px",
        "val_top5": f"all classes, {run.size} px",
        "val_loss": f"all classes, {run.size} px",
        "gflops": f"of {planned} planned",
        "train_seconds": "without validation",
        "parameters": "",
    }
    tiles = [
        (_name(name), _show(name, run.figures.get(name)), note)
        for name, note in notes.items()
    ]
    tiles.append(("What grew", _growth(run), ""))
    return "".join(
        f"<div><dt>{label}<dd><b>{escape(value)}</b><dd>{note}</div>\n"
        for label, value, note in tiles
    )


def _shares(costs):
    """Returns percentages to one decimal that add up to 100.0 exactly."""
    exact = [1000 * cost / (sum(costs) or math.inf) for cost in costs]
    tenths = [int(share) for share in exact]
    missing = round(sum(exact)) - sum(tenths)
    by_rest = sorted(range(len(costs)), key=lambda i: tenths[i] - exact[i])
    for index in by_rest[:missing]:
        tenths[index] += 1
    return [f"{share / 10:.1f}%" for share in tenths]


def _table(head, rows):
    lines = ["".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)]
    for row in rows:
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in row))
    lines = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n{lines}\n</table>"


def _stage_table(run):
    names = "stage image_size num_classes num_images samples_per_class "
    names += "batch_size steps gflops share stage_seconds boundary_seconds"
    shares = _shares([stage["gflops"] for stage in run.stages])
    rows = []
    for index, stage in enumerate(run.stages):
        row = stage | {"stage": str(index + 1), "share": shares[index]}
        for name in ("stage_seconds", "boundary_seconds"):
            times = run.metrics.get(name) or []
            # Boundaries may be counted between stages only: the first has none.
            place = index - len(run.stages) + len(times)
            row[name] = times[place] if place >= 0 else None
        rows.append([_show(name, row.get(name)) for name in names.split()])
    return _table(map(_name, names.split()), rows)


def _final_figures(run):
    if not run.metrics:
        return "<p>They come when the run ends.</p>"
    rows = [
        (_name(name), _show(name, value))
        for name, value in run.metrics.items()
        if not isinstance(value, list)
    ]
    return _table(("Figure", "Value"), rows)


def _confusions(run):
    """Lists the ten confusions of classes that were most frequent."""
    import numpy as np

    path = run.directory / "predictions.npz"
    if not path.is_file():
        return ""
    try:
        with np.load(path) as arrays:
            labels = arrays["labels"].tolist()
            guesses = arrays["probabilities"].argmax(axis=1).tolist()
        pairs = collections.Counter(zip(labels, guesses, strict=True))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise _malformed(path, error) from error
    images = collections.Counter(labels)
    names = dict(enumerate(_read_lines(run.directory / "classes.txt")))
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
    for name, found in _read_json(run.directory / "data_report.json").items():
        if isinstance(found, dict) and not any(
            isinstance(value, (int, float)) for value in found.values()
        ):
            found = list(found.items())  # reasons by path
        if not isinstance(found, list):
            lines += (
                f"<p>{escape(f'{_name(name)}: {_show(name, found)}')}</p>\n"
            )
            continue
        lines += f"<p>{escape(_name(name))}: {len(found):,}</p>\n<ul>\n"
        for item in found[:5]:
            if isinstance(item, dict):
                item = tuple(item.values())
            parts = item if isinstance(item, (tuple, list)) else [item]
            lines += f"<li>{escape(': '.join(map(str, parts)))}</li>\n"
        more = f"<li>and {len(found) - 5:,} more</li>\n"
        lines += more * (len(found) > 5) + "</ul>\n"
    return lines and f"<h2>Data refused or repaired</h2>\n{lines}"


# Plots. Their colours come from rcParams, so one function draws both themes.


def _picture(draw, run, theme):
    """Returns a plot as the bytes of a PNG, and a text that says the same."""
    import matplotlib
    from matplotlib.figure import Figure

    paper, ink, band, line, *curves = THEMES[theme].split()
    look = {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "patch.facecolor": band,
        "axes.edgecolor": line,
        "axes.prop_cycle": matplotlib.cycler(color=curves),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        "font.size": 9.5,
    }
    for part in ("text", "xtick", "ytick"):
        look |= {f"{part}.color": ink, "axes.labelcolor": ink}
    with matplotlib.rc_context(look), io.BytesIO() as file:
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        alt = draw(figure, run)
        figure.savefig(file, dpi=180, metadata={"Software": None})
        return file.getvalue(), alt


def _draw_curves(axis, run, table, curves, x="step"):
    """Draws columns of a table, equal ones once; returns what they show."""
    drawn, trends = [], []
    for place, name in enumerate(curves):
        known = table[name].dropna()
        if known.empty or any(known.equals(other) for other in drawn):
            continue
        drawn.append(known)
        label = curves[name].format(run.size)
        axis.plot(
            table[x],
            table[name],
            STROKES[place] if len(table) < 200 else "-",
            color=f"C{place}",
            markersize=3,
            linewidth=1.4,
            clip_on=False,
            label=label,
        )
        first, last = (_show(name, known.iloc[end]) for end in (0, -1))
        trends.append(f"{label} from {first} to {last}")
    if not trends:
        where = {"transform": axis.transAxes, "ha": "center"}
        axis.text(0.5, 0.5, "no evaluation yet", **where)
    elif len(curves) > 1:
        lines = axis.get_legend_handles_labels()
        axis.figure.legend(*lines, loc="outside upper left", ncols=2)
    return "; ".join(trends)


def _scale_loss(axis):
    """Starts a loss at zero, or goes logarithmic if it spans too much."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axis.dataLim.intervaly
    if 0 < 20 * low < high < math.inf:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter("{x:g}")
    else:
        axis.set_ylim(bottom=0)
    axis.set_ylabel("loss")


def _step_axes(figure, run, rows=1):
    """Returns axes over the plan's steps, the stages as numbered bands."""
    from matplotlib import rcParams
    from matplotlib.lines import Line2D

    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    axes[-1].set(xlim=(0, run.total), xlabel="step")
    where = axes[0].get_xaxis_transform()
    start, last = 0, -math.inf
    for number, stage in enumerate(run.stages, start=1):
        end = start + stage["steps"]
        for axis in axes[: len(axes) * (number % 2)]:
            axis.axvspan(start, end, color=rcParams["patch.facecolor"], lw=0)
        middle = (start + end) / 2
        if middle - last > 0.03 * run.total:  # or the numbers would overlap
            axes[0].text(middle, 1.02, number, transform=where, ha="center")
            last = middle
        start = end
    labels = [_stage_label(*each) for each in enumerate(run.stages, start=1)]
    blank = [Line2D([], [], linestyle="") for _ in labels]
    columns = 1 + (len(labels) > 3 and max(map(len, labels)) < 39)
    figure.set_figheight(HEIGHT + 0.15 * len(labels) / columns)
    figure.legend(
        blank,
        labels,
        loc="outside lower left",
        ncols=columns,
        handlelength=0,
        fontsize=8,
    )
    return axes


def _draw_loss(figure, run):
    [axis] = _step_axes(figure, run)
    alt = _draw_curves(axis, run, run.log, LOSSES)
    _scale_loss(axis)
    return alt


def _draw_accuracy(figure, run):
    from matplotlib.ticker import PercentFormatter

    [axis] = _step_axes(figure, run)
    alt = _draw_curves(axis, run, run.log, ACCURACIES)
    axis.set(ylabel="accuracy", ylim=(0, None))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    return alt


def _draw_learning_rate(figure, run):
    alt = []
    axes = _step_axes(figure, run, rows=2)
    for axis, (name, label) in zip(axes, RATES.items(), strict=True):
        alt += [_draw_curves(axis, run, run.schedule, {name: label})]
        axis.set_ylabel(label)
    return "; ".join(filter(None, alt))


def _draw_loss_by_size(figure, run):
    import numpy as np
    import pandas as pd
    from matplotlib import rcParams

    axis, parts, labels = figure.subplots(), [run.log.assign(place=0.0)[:0]], []
    for place, (size, rows) in enumerate(run.log.groupby("image_size")):
        if place % 2 == 0:
            band = rcParams["patch.facecolor"]
            axis.axvspan(place - 0.5, place + 0.5, color=band, lw=0)
        spread = np.linspace(-0.4, 0.4, len(rows) + 2)[1:-1]
        for _, part in rows.assign(place=place + spread).groupby("stage"):
            parts += [part, part[:1] * np.nan]  # NaN lifts the pen
        labels.append(f"{size:g}")
    alt = _draw_curves(axis, run, pd.concat(parts), LOSSES, x="place")
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlim(-0.5, max(1, len(labels)) - 0.5)
    axis.set_xlabel("image size of the stage, px; evaluations in their order")
    _scale_loss(axis)
    return alt


PLOTS = {
    "loss": ("Loss against step", _draw_loss),
    "accuracy": ("Accuracy against step", _draw_accuracy),
    "loss_by_size": ("Loss against image size", _draw_loss_by_size),
    "learning_rate": ("Learning rate and momentum", _draw_learning_rate),
}
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
