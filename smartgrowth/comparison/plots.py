"""The plots of a comparison: functions of a figure and the `Figures`.

Each draws and returns the alt text. An arm has one color everywhere; the
baseline has the color of the text. Bands are for the eye only: they support no
claim.
"""

import math

import numpy as np

from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.significance import bootstrap_band
from smartgrowth.comparison.summary import Figures
from smartgrowth.names import abbreviate, for_legend
from smartgrowth.rendering.chart import STROKES
from smartgrowth.rendering.text import show

BAND = 0.18  # opacity
AXES = {
    "gflops": "training cost, GFLOPs",
    "train_seconds": "training time, seconds",
}


def draw_accuracy(figure, figures: Figures, cost: str, column: str) -> str:
    """Draws mean accuracy over the seeds against cost, at the largest budget.

    `cost` and `column` name columns of log.csv.
    """
    axis, trends = figure.subplots(), []
    for place, arm in enumerate(figures.arms):
        curve = figures.curve(arm, cost, column)
        if curve is None:
            continue
        costs, values = curve
        if cost == "train_seconds":
            # Seeds take different times: average them per evaluation.
            costs, values = _by_evaluation(figures, arm, column)
        mean = values.mean(axis=0)
        color = _color(place)
        axis.plot(
            costs,
            mean,
            _stroke(place) if len(costs) < 40 else "-",
            color=color,
            markersize=3.5,
            linewidth=2.2 if place == 0 else 1.5,
            label=for_legend(arm),
            clip_on=False,
            zorder=3 if place else 2.5,
        )
        axis.fill_between(
            costs, *bootstrap_band(values), color=color, alpha=BAND, lw=0
        )
        first, last = (show("accuracy", mean[end]) for end in (0, -1))
        trends.append(f"{arm} from {first} to {last}")
    axis.set(xlabel=AXES[cost], xlim=(0, None), ylim=(0, None))
    _percent(axis)
    _legend(figure, axis)
    return "; ".join(trends)


def draw_budgets(figure, figures: Figures) -> str:
    """Draws accuracy against budget, each run trained to its own end."""
    kind = KINDS[figures.equal]
    axis, summaries = figure.subplots(), []
    for place, arm in enumerate(figures.arms):
        rows = figures.table[figures.table["arm"] == arm]
        if rows.empty:
            continue
        costs, means, lows, highs = [], [], [], []
        for _, part in rows.groupby("budget"):
            costs.append(part[kind.column].mean())
            means.append(part["accuracy"].mean())
            low, high = bootstrap_band(part[["accuracy"]].to_numpy())
            lows.append(low[0])
            highs.append(high[0])
        color = _color(place)
        axis.plot(
            costs,
            means,
            _stroke(place),
            color=color,
            markersize=5,
            linewidth=2.2 if place == 0 else 1.5,
            label=for_legend(arm),
            clip_on=False,
        )
        axis.fill_between(costs, lows, highs, color=color, alpha=BAND, lw=0)
        accuracies = ", ".join(show("accuracy", mean) for mean in means)
        summaries.append(f"{arm} {accuracies}")
    axis.set_xscale("log")
    budget_costs = figures.table.groupby("budget")[kind.column].mean()
    axis.set_xticks(budget_costs, [show("", cost) for cost in budget_costs])
    axis.minorticks_off()
    axis.set_xlabel(kind.axis)
    _percent(axis)
    _legend(figure, axis)
    return "; ".join(summaries)


def draw_differences(figure, figures: Figures) -> str:
    """Draws each arm's paired differences, their mean and its interval."""
    from matplotlib import rcParams

    arms = list(figures.verdicts)
    figure.set_figheight(1.1 + 0.42 * len(arms))
    axis, summaries = figure.subplots(), []
    axis.axvline(0, color=rcParams["text.color"], linewidth=1.2)
    by_seed = figures.whole.pivot(
        index="seed", columns="arm", values="accuracy"
    )
    for row, arm in enumerate(arms):
        pair = figures.verdicts[arm].paired
        color = _color(figures.arms.index(arm))
        both = figures.verdicts[arm].wider
        for ends, width in (((pair.low, pair.high), 3), (both, 1)):
            if not math.isnan(ends[0]):
                axis.plot(
                    [100 * end for end in ends],
                    [row, row],
                    color=color,
                    linewidth=width,
                    alpha=0.55,
                    solid_capstyle="round",
                )
        seeds = 100 * (by_seed[arm] - by_seed[figures.baseline]).dropna()
        axis.plot(
            seeds,
            [row + 0.22] * len(seeds),
            "o",
            color=color,
            markerfacecolor="none",
            markersize=4,
        )
        axis.plot(100 * pair.mean, row, "D", color=color, markersize=7)
        summaries.append(f"{arm} {100 * pair.mean:+.1f} points")
    axis.set_yticks(range(len(arms)), map(_wrap, arms))
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set_xlabel("points of accuracy")
    return "; ".join(summaries)


def draw_target(figure, figures: Figures) -> str:
    """Draws the cost to reach the target, and the time if it was measured."""
    panels = {"gflops_to_target": "GFLOPs"}
    if not figures.untimed:
        panels["seconds_to_target"] = "seconds"
    rows = len(figures.arms)
    figure.set_figheight(len(panels) * (0.9 + 0.42 * rows))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    summaries = []
    for axis, (column, unit) in zip(axes, panels.items(), strict=True):
        for row, arm in enumerate(figures.arms):
            part = figures.whole[figures.whole["arm"] == arm]
            final, at_size = part[column], part[f"{column}_at_size"]
            color = _color(row)
            for offset, costs, opacity in (
                (-0.19, final, 0.9),
                (0.19, at_size, 0.4),
            ):
                known = costs.dropna()
                if known.empty:
                    axis.text(
                        0, row + offset, " not reached", va="center", fontsize=8
                    )
                    continue
                axis.barh(
                    row + offset,
                    known.mean(),
                    height=0.34,
                    color=color,
                    alpha=opacity,
                )
                axis.plot(
                    known,
                    [row + offset] * len(known),
                    "|",
                    color=_color(0),
                    markersize=7,
                )
                if len(known) < len(costs):
                    axis.text(
                        known.max(),
                        row + offset,
                        f"  in {len(known)} of {len(costs)} seeds",
                        va="center",
                        fontsize=8,
                    )
            known = final.dropna()
            what = f"{known.mean():,.3g} {unit}" if len(known) else "never"
            summaries.append(f"{arm} {what}")
        axis.set_yticks(range(rows), map(_wrap, figures.arms))
        axis.set_ylim(rows - 0.5, -0.5)
        axis.set_xlim(0, axis.get_xlim()[1] * 1.02)
        axis.set_xlabel(unit)
    return "; ".join(summaries)


def _by_evaluation(figures: Figures, arm: str, column: str):
    """Returns mean seconds (points,) and values (seeds, points).

    Rows of the seeds' logs are matched by position, not by time.
    """
    logs = [
        run.log
        for (name, budget, _), run in figures.runs.items()
        if name == arm and budget == figures.budgets[-1] and len(run.log)
    ]
    length = min(len(log) for log in logs)
    seconds = [log["train_seconds"].to_numpy()[:length] for log in logs]
    values = [log[column].to_numpy()[:length] for log in logs]
    return np.mean(seconds, axis=0), np.array(values)


def _wrap(name: str) -> str:
    """Returns an arm's name in up to three lines of 16 characters."""
    name = abbreviate(name, 48)
    return "\n".join(name[at : at + 16] for at in range(0, len(name), 16))


def _color(place: int) -> str:
    from matplotlib import rcParams

    return f"C{place - 1}" if place else rcParams["text.color"]


def _stroke(place: int) -> str:
    return STROKES[(place - 1) % len(STROKES)] if place else "o--"


def _percent(axis) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_ylabel("validation accuracy")
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))


def _legend(figure, axis) -> None:
    lines = axis.get_legend_handles_labels()
    longest = max(map(len, lines[1]), default=0)
    figure.legend(
        *lines,
        loc="outside upper left",
        ncols=max(min(len(lines[1]), 76 // (longest + 5)), 1),
        columnspacing=1.4,
    )


def plots(figures: Figures) -> dict[str, tuple]:
    """Returns file name without suffix -> (title, note, drawing function)."""
    chosen = {
        "accuracy_cost": (
            "Accuracy against training cost",
            f"at the final image size of {_size(figures)} px",
            lambda figure: draw_accuracy(
                figure, figures, "gflops", "val_accuracy"
            ),
        ),
        "accuracy_at_size_cost": (
            "Accuracy at each stage's image size",
            "at the image size that each stage trains with",
            lambda figure: draw_accuracy(
                figure, figures, "gflops", "val_accuracy_at_size"
            ),
        ),
    }
    if not figures.untimed:
        chosen["accuracy_seconds"] = (
            "Accuracy against training time",
            f"at the final image size of {_size(figures)} px",
            lambda figure: draw_accuracy(
                figure, figures, "train_seconds", "val_accuracy"
            ),
        )
    if len(figures.budgets) > 1 and figures.is_measured:
        chosen["accuracy_budget"] = (
            "Accuracy that a budget buys",
            "every point a run of its own, trained to its end",
            lambda figure: draw_budgets(figure, figures),
        )
    if figures.verdicts:
        chosen["differences"] = (
            "Difference to the baseline",
            "circles: seeds; diamond: their mean; bar: its 95% t interval; "
            "thin line: also for other validation images",
            lambda figure: draw_differences(figure, figures),
        )
    chosen["time_to_target"] = (
        "Cost until the target accuracy is reached",
        "full color: at the final image size; pale: at each stage's image "
        "size; ticks: seeds",
        lambda figure: draw_target(figure, figures),
    )
    return chosen


def _size(figures: Figures) -> int:
    return next(iter(figures.runs.values())).size
