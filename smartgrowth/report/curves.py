"""The course of a run as charts: losses, accuracies, rates.

Against a choice of what they cost, which the reader makes with CSS alone: the
page forbids scripts.
"""

import math
from html import escape

from smartgrowth.rendering import svg_chart
from smartgrowth.rendering.text import describe_stage, show
from smartgrowth.report.plots import ACCURACIES, LOSSES, RATES
from smartgrowth.runs.reader import Run

# name -> (of the choice, of the axis)
AXES = {
    "step": ("steps", "step"),
    "images": ("images", "images shown in training"),
    "gflops": ("GFLOPs", "training cost, GFLOPs"),
    "seconds": ("seconds", "training time without validation, seconds"),
}
SHOWN_RATES = 250  # points of a schedule


def section(run: Run) -> str:
    """All charts as HTML, those with a choice of axis first."""
    choice = "".join(
        f'<input type="radio" name="axis" id="axis-{name}"'
        f'{" checked" * (name == "step")}><label for="axis-{name}">'
        f"{label}</label>\n"
        for name, (label, _) in AXES.items()
    )
    key = "".join(
        f"<li>{escape(describe_stage(stage))}</li>\n" for stage in run.stages
    )
    return (
        '<fieldset class="axes"><legend>Curves against</legend>\n'
        f'{choice}<div class="plots">\n'
        + _figure("Accuracy", {axis: _accuracy(run, axis) for axis in AXES})
        + _figure("Loss", {axis: _loss(run, axis) for axis in AXES})
        + _figure(
            "Learning rate and momentum",
            {axis: _rates(run, axis) for axis in AXES},
        )
        + f"<figure>\n<h3>Loss against image size</h3>\n{_by_size(run)}"
        "</figure>\n</div></fieldset>\n"
        f'<p>Stages, the numbered bands:</p>\n<ol class="key">\n{key}</ol>'
    )


def places(run: Run, axis: str, steps):
    """Where steps of the run lie on an axis, float64, NaN where unknown.

    axis: a key of `AXES`. Between the ends of stages, images and GFLOPs grow
    evenly; between evaluations, seconds do.
    """
    import numpy as np

    steps = np.asarray(steps, float)
    if axis == "step":
        return steps
    if axis == "seconds":
        known = run.log[["step", "train_seconds"]].dropna()
        at = [0, *known["step"]]
        value = [0, *known["train_seconds"]]
        return np.interp(steps, at, value, right=math.nan)
    if axis == "images":
        each = [s["steps"] * (s.get("batch_size") or 0) for s in run.stages]
    else:
        each = [stage["gflops"] for stage in run.stages]
    at = np.cumsum([0, *(stage["steps"] for stage in run.stages)])
    return np.interp(steps, at, np.cumsum([0, *each]))


def _figure(title: str, charts: dict[str, str]) -> str:
    """Charts of one thing, of which CSS shows the one of the chosen axis."""
    body = "".join(
        f'<div class="by {axis}">\n{drawn}</div>\n'
        for axis, drawn in charts.items()
    )
    return f"<figure>\n<h3>{title}</h3>\n{body}</figure>\n"


def _loss(run, axis):
    lines, said = _lines(run, run.log, LOSSES, axis)
    x = _x_axis(run, axis)
    return svg_chart.draw(
        lines,
        x,
        _loss_axis(lines),
        f"Loss against {x.label}: {said}.",
        find_bands(run, axis),
    )


def _accuracy(run, axis):
    lines, said = _lines(run, run.log, ACCURACIES, axis)
    known = [v for line in lines for v in line.y if math.isfinite(v)]
    top = max(known, default=1)
    x = _x_axis(run, axis)
    y = svg_chart.linear(
        0, max(top, 0.01), "accuracy", lambda v: f"{100 * v:.3g}%"
    )
    alt = f"Accuracy against {x.label}: {said}."
    return svg_chart.draw(lines, x, y, alt, find_bands(run, axis))


def _rates(run, axis):
    table = run.schedule
    table = table[:: max(len(table) // SHOWN_RATES, 1)]
    x, drawn = _x_axis(run, axis), ""
    for name, label in RATES.items():
        lines, said = _lines(run, table, {name: label}, axis)
        known = lines[0].y if lines else [1]
        top = max(filter(math.isfinite, known), default=1)
        y = svg_chart.linear(0, top or 1, label, lambda v: f"{v:g}", count=4)
        alt = f"{label.capitalize()} against {x.label}: {said}."
        drawn += f"<p>{label}</p>\n" + svg_chart.draw(
            lines, x, y, alt, find_bands(run, axis), height=190
        )
    return drawn


def _by_size(run):
    """Losses with the evaluations of each image size side by side."""
    import numpy as np

    parts, ticks, bands = [], [], []
    for place, (size, rows) in enumerate(run.log.groupby("image_size")):
        spread = place + np.linspace(0, 1, len(rows) + 2)[1:-1]
        for _, part in rows.assign(place=spread).groupby("stage"):
            parts += [part, part[:1] * np.nan]  # NaN lifts the pen
        ticks.append((place + 0.5, f"{size:g}"))
        bands.append((place, place + 1, ""))
    lines, said = [], "no evaluation yet"
    if parts:
        import pandas as pd

        table = pd.concat(parts, ignore_index=True)
        lines, said = _lines(run, table, LOSSES, x=table["place"])
    label = "image size of the stage, px; evaluations in their order"
    x = svg_chart.Axis(0, max(len(ticks), 1), ticks, label)
    alt = f"Loss against image size: {said}."
    return svg_chart.draw(lines, x, _loss_axis(lines), alt, bands)


def _lines(run, table, curves, axis="step", x=None):
    """Columns of a table as lines, equal ones once; and what they show."""
    drawn, lines, said = [], [], []
    at = places(run, axis, table["step"]) if x is None else x
    for place, name in enumerate(curves):
        values = table[name]
        known = values.dropna()
        if known.empty or any(known.equals(other) for other in drawn):
            continue
        drawn.append(known)
        label = curves[name].format(run.size)
        tips = [
            f"{label}: {show(name, value)} at step {step:,.0f}"
            for value, step in zip(values, table["step"], strict=True)
        ]
        lines.append(
            svg_chart.Line(label, list(at), values.tolist(), place, tips)
        )
        first, last = (show(name, known.iloc[end]) for end in (0, -1))
        said.append(f"{label} from {first} to {last}")
    return lines, "; ".join(said) or "no evaluation yet"


def _x_axis(run, axis):
    _, label = AXES[axis]
    end = places(run, axis, [run.steps])[0]
    if not math.isfinite(end):  # seconds that have not passed
        end = run.log["train_seconds"].max() if len(run.log) else 1
    end = float(end) if math.isfinite(end) and end > 0 else 1.0
    return svg_chart.linear(0, end, label, lambda v: f"{v:,.10g}")


def find_bands(run: Run, axis: str) -> list[tuple[float, float, str]]:
    """(from, to, number) of the stages, as far as the axis knows them."""
    ends = [0]
    for stage in run.stages:
        ends.append(ends[-1] + stage["steps"])
    known = [float(value) for value in places(run, axis, ends)]
    end = _x_axis(run, axis).high
    bands = []
    for number, low in enumerate(known[:-1], start=1):
        if not math.isfinite(low):
            break
        high = known[number] if math.isfinite(known[number]) else end
        bands.append((low, high, str(number)))
    return bands


def _loss_axis(lines):
    """From zero, or logarithmic if the losses span too much."""
    values = [v for line in lines for v in line.y if math.isfinite(v)]
    low, high = min(values, default=0), max(values, default=1)
    if 0 < 20 * low < high:
        return svg_chart.logarithmic(low, high, "loss")
    return svg_chart.linear(min(low, 0), high or 1, "loss", lambda v: f"{v:g}")


STYLE = """.axes { border: 0; margin: 0; padding: 0; min-width: 0; }
.axes legend { float: left; font-weight: 600; margin: .3rem .8rem .3rem 0;
  padding: 0; }
.axes > input { position: absolute; opacity: 0; }
.axes > label { background: var(--tile); border: 1px solid var(--line);
  border-radius: 1rem; cursor: pointer; display: inline-block;
  margin: 0 .3rem .3rem 0; padding: .25rem .9rem; }
.axes > input:checked + label { background: var(--ink); color: var(--paper);
  border-color: var(--ink); }
.axes > input:focus-visible + label { outline: .2rem solid var(--c0);
  outline-offset: .15rem; }
.axes .plots { clear: both; padding-top: 1rem; }
.axes p { color: var(--soft); font-size: .875rem; margin: 0; }
.by { display: none; }
.key { color: var(--soft); font-size: .875rem; columns: 17rem; margin: 0;
  padding-left: 1.6rem; }
""" + "".join(
    f"#axis-{name}:checked ~ .plots .{name} {{ display: block; }}\n"
    for name in AXES
)
