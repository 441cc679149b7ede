"""A run as charts over time: losses, accuracies, learning rates.

There is a chart for every x axis that the reader can choose. The page has all
of them, the PNG files only those of the first axis.
"""

import dataclasses
import math
from collections.abc import Sequence

from smartgrowth.rendering.chart import (
    Axis,
    Band,
    Chart,
    Line,
    linear,
    logarithmic,
)
from smartgrowth.rendering.text import show, stage_summary
from smartgrowth.runs.reader import Run

# name -> (of the choice, of the axis)
AXES = {
    "step": ("steps", "step"),
    "images": ("images", "images shown in training"),
    "gflops": ("GFLOPs", "training cost, GFLOPs"),
    "seconds": ("seconds", "training time without validation, seconds"),
}
# column -> label of its curve
LOSSES = {
    "train_loss": "training",
    "val_loss": "validation at {} px",
    "stage_val_loss": "validation as the stage sees it",
    "raw_val_loss": "validation without averaging",
}
ACCURACIES = {
    "train_accuracy": "training",
    "val_accuracy": "validation at {} px",
    "val_accuracy_at_size": "validation at the stage's size",
    "stage_val_accuracy": "… and with its classes only",
    "raw_val_accuracy": "validation without averaging",
    "stage_train_accuracy": "the stage's own training images, not augmented",
}
RATES = {"lr": "learning rate", "momentum": "momentum"}
POINTS = 1000  # most points of a schedule
EMPTY = "no evaluation yet"


@dataclasses.dataclass(frozen=True)
class Part:
    """Charts that belong together, one below another, for every x axis.

    Attributes:
      title: of them all.
      charts: key of `AXES` -> charts; "" -> charts with an x axis of their
        own.
    """

    title: str
    charts: dict[str, list[Chart]]

    def first(self) -> list[Chart]:
        """Returns the charts of the first axis."""
        return next(iter(self.charts.values()))


def make_course(run: Run) -> dict[str, Part]:
    """Returns all charts of a run, by file name."""
    return {
        "accuracy": Part(
            "Accuracy", {axis: [accuracies(run, axis)] for axis in AXES}
        ),
        "loss": Part("Loss", {axis: [losses(run, axis)] for axis in AXES}),
        "learning_rate": Part(
            "Learning rate and momentum",
            {axis: rates(run, axis) for axis in AXES},
        ),
        "loss_by_size": Part(
            "Loss against image size", {"": [losses_by_size(run)]}
        ),
    }


def losses(run: Run, axis: str) -> Chart:
    """Returns the losses at every evaluation; axis: a key of `AXES`."""
    x, bands = x_axis(run, axis), stage_bands(run, axis)
    at = places(run, axis, run.log["step"])
    lines, summary = _lines(run, run.log, LOSSES, at)
    alt = f"Loss against {x.label}: {summary}."
    return Chart(lines, x, _loss_axis(lines), alt, bands, EMPTY)


def accuracies(run: Run, axis: str) -> Chart:
    """Returns the accuracies at every evaluation; axis: a key of `AXES`."""
    x, bands = x_axis(run, axis), stage_bands(run, axis)
    at = places(run, axis, run.log["step"])
    lines, summary = _lines(run, run.log, ACCURACIES, at)
    top = max(_finite(lines), default=1)
    y = linear(0, max(top, 0.01), "accuracy", lambda v: f"{100 * v:.3g}%")
    alt = f"Accuracy against {x.label}: {summary}."
    return Chart(lines, x, y, alt, bands, EMPTY)


def rates(run: Run, axis: str) -> list[Chart]:
    """Returns learning rate and momentum; axis: a key of `AXES`."""
    x, bands = x_axis(run, axis), stage_bands(run, axis)
    rows = run.schedule[:: -(-len(run.schedule) // POINTS) or 1]
    at = places(run, axis, rows["step"])
    charts = []
    for name, label in RATES.items():
        labels = {name: label}
        if name == "lr":
            groups = [c for c in rows.columns if c.startswith("lr_")]
            labels |= {c: f"layers of {c.removeprefix('lr_')}" for c in groups}
        lines, summary = _lines(run, rows, labels, at)
        top = max(_finite(lines), default=1)
        y = linear(0, top or 1, label, lambda v: f"{v:g}", count=4)
        alt = f"{label.capitalize()} against {x.label}: {summary}."
        charts.append(Chart(lines, x, y, alt, bands, EMPTY))
    return charts


def losses_by_size(run: Run) -> Chart:
    """Returns the losses by image size, side by side."""
    import numpy as np
    import pandas as pd

    parts, ticks, bands = [run.log[:0].assign(place=[])], [], []
    for place, (size, rows) in enumerate(run.log.groupby("image_size")):
        spread = place + np.linspace(0, 1, len(rows) + 2)[1:-1]
        for _, part in rows.assign(place=spread).groupby("stage"):
            parts += [part, part[:1] * np.nan]  # NaN interrupts the line
        ticks.append((place + 0.5, f"{size:g}"))
        bands.append(Band(place, place + 1))
    rows = pd.concat(parts, ignore_index=True)
    lines, summary = _lines(run, rows, LOSSES, rows["place"])
    label = "image size of the stage, px; evaluations in their order"
    x = Axis(0, max(len(ticks), 1), ticks, label)
    alt = f"Loss against image size: {summary}."
    return Chart(lines, x, _loss_axis(lines), alt, bands, EMPTY)


def places(run: Run, axis: str, steps):
    """Returns the positions of steps on an x axis.

    Images and GFLOPs grow linearly within a stage; seconds grow linearly
    between evaluations.

    Args:
      run: whose steps they are.
      axis: a key of `AXES`.
      steps: numbers, (N,).

    Returns:
      float64 (N,), NaN if unknown.
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


def x_axis(run: Run, axis: str) -> Axis:
    """Returns an x axis of the whole run, as far as it is known."""
    _, label = AXES[axis]
    end = places(run, axis, [run.steps])[0]
    if not math.isfinite(end):  # the seconds of a run in progress
        end = run.log["train_seconds"].max() if len(run.log) else 1
    end = float(end) if math.isfinite(end) and end > 0 else 1.0
    return linear(0, end, label, lambda v: f"{v:,.10g}")


def stage_bands(run: Run, axis: str) -> list[Band]:
    """Returns the stages, with their numbers, as far as they are known."""
    ends = [0]
    for stage in run.stages:
        ends.append(ends[-1] + stage["steps"])
    known = [float(value) for value in places(run, axis, ends)]
    end = x_axis(run, axis).high
    bands = []
    for number, stage in enumerate(run.stages, start=1):
        low, high = known[number - 1 : number + 1]
        if not math.isfinite(low):
            break
        high = high if math.isfinite(high) else end
        bands.append(Band(low, high, str(number), stage_summary(stage)))
    return bands


def _lines(run: Run, rows, labels: dict[str, str], x):
    """Returns columns of a table as lines, and their alt text.

    A column that equals an earlier one is left out.

    Args:
      run: whose table it is.
      rows: a data frame with a step in each row.
      labels: column -> label; its position sets the line's style.
      x: positions of the rows on the x axis, (N,).
    """
    known_before, lines, trends = [], [], []
    for style, name in enumerate(labels):
        values = rows[name]
        known = values.dropna()
        if known.empty or any(known.equals(other) for other in known_before):
            continue
        known_before.append(known)
        label = labels[name].format(run.size)
        tips = [
            f"{label}: {show(name, value)} at step {step:,.0f}"
            for value, step in zip(values, rows["step"], strict=True)
        ]
        lines.append(Line(label, list(x), values.tolist(), style, tips))
        first, last = (show(name, known.iloc[end]) for end in (0, -1))
        trends.append(f"{label} from {first} to {last}")
    return lines, "; ".join(trends) or EMPTY


def _loss_axis(lines: Sequence[Line]) -> Axis:
    """Returns an axis from zero, or logarithmic for a wide range."""
    values = _finite(lines)
    low, high = min(values, default=0), max(values, default=1)
    if 0 < 20 * low < high:
        return logarithmic(low, high, "loss")
    return linear(min(low, 0), high or 1, "loss", lambda v: f"{v:g}")


def _finite(lines: Sequence[Line]) -> list[float]:
    return [y for line in lines for y in line.y if math.isfinite(y)]
