"""The plots of a run, each in two themes: PNG bytes and a text for the blind.

The stages lie behind the curves as numbered bands. Their colours come from
rcParams, so one function draws both themes.
"""

import math

from smartgrowth.rendering.figure import HEIGHT, STROKES, render
from smartgrowth.rendering.text import describe_stage, show
from smartgrowth.runs.reader import Run

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
}
RATES = {"lr": "learning rate", "momentum": "momentum"}


def draw(name: str, run: Run, theme: str) -> tuple[bytes, str]:
    """A plot as the bytes of a PNG, and a text that says the same.

    name: a key of `PLOTS`. theme: a key of `THEMES`.
    """
    _, draw_into = PLOTS[name]
    return render(lambda figure: draw_into(figure, run), theme)


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
        first, last = (show(name, known.iloc[end]) for end in (0, -1))
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
    axes[-1].set(xlim=(0, run.steps), xlabel="step")
    where = axes[0].get_xaxis_transform()
    start, last = 0, -math.inf
    for number, stage in enumerate(run.stages, start=1):
        end = start + stage["steps"]
        for axis in axes[: len(axes) * (number % 2)]:
            axis.axvspan(start, end, color=rcParams["patch.facecolor"], lw=0)
        middle = (start + end) / 2
        if middle - last > 0.03 * run.steps:  # or the numbers would overlap
            axes[0].text(middle, 1.02, number, transform=where, ha="center")
            last = middle
        start = end
    labels = [
        f"{number}: {describe_stage(stage)}"
        for number, stage in enumerate(run.stages, start=1)
    ]
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


# name -> (title, function of a figure and a run, which draws and describes)
PLOTS = {
    "loss": ("Loss against step", _draw_loss),
    "accuracy": ("Accuracy against step", _draw_accuracy),
    "loss_by_size": ("Loss against image size", _draw_loss_by_size),
    "learning_rate": ("Learning rate and momentum", _draw_learning_rate),
}
