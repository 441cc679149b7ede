"""Plots of what a run's predictions are: confusions, classes, calibration.

Functions of a figure and the `Outcome`, as plots.py has them of a run. Each
draws and returns a text that says the same.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from smartgrowth.metrics import calibration, confusion
from smartgrowth.rendering.text import short_name
from smartgrowth.runs.files import CLASSES
from smartgrowth.runs.reader import Run, read_lines, read_predictions

if TYPE_CHECKING:  # imported when there is something to draw
    import numpy as np

CLUSTERED = 12  # classes; of more, the matrix is ordered by its clusters
NUMBERED = 12  # classes whose cells have room for their numbers
NAMED = 60  # classes whose names are legible beside a plot
TOLD = 5  # classes in a text alternative


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Predictions of all validation images.

    names: of the classes, short. labels: int64 (N,). probabilities: (N, C).
    """

    names: list[str]
    labels: "np.ndarray"
    probabilities: "np.ndarray"

    @functools.cached_property
    def matrix(self):
        """A `confusion.confusion_matrix`."""
        guesses = self.probabilities.argmax(axis=1)
        return confusion.confusion_matrix(self.labels, guesses, len(self.names))

    @functools.cached_property
    def by_class(self):
        return confusion.by_class(self.matrix)

    @functools.cached_property
    def reliability(self):
        return calibration.reliability(self.probabilities, self.labels)


def read_outcome(run: Run) -> Outcome | None:
    """Of a run's files; None while there are no predictions."""
    found = read_predictions(run.directory)
    if found is None:
        return None
    labels, probabilities = found
    known = dict(enumerate(read_lines(run.directory / CLASSES)))
    names = [
        short_name(known.get(label, f"class {label}"))
        for label in range(probabilities.shape[1])
    ]
    return Outcome(names, labels, probabilities)


def is_wide(outcome: Outcome) -> bool:
    """Whether the confusion matrix has names that need the page's width."""
    return NUMBERED < len(outcome.names) <= NAMED


def draw_confusion(figure, outcome: Outcome) -> str:
    """The confusion matrix as shares of each class's images."""
    import numpy as np
    from matplotlib import rcParams
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    shares, count = confusion.row_shares(outcome.matrix), len(outcome.names)
    order = np.arange(count)
    if count > CLUSTERED:
        order = confusion.clustered_order(outcome.matrix)
    shares = shares[np.ix_(order, order)]
    named = count <= NAMED
    side = 2.4 + 0.13 * count if is_wide(outcome) else 5.6
    figure.set_size_inches(side + 0.9, side)
    axis = figure.subplots()
    curves = rcParams["axes.prop_cycle"].by_key()["color"]
    paper = rcParams["axes.facecolor"]
    # A root, so that a few per cent are seen beside the diagonal.
    image = axis.imshow(
        shares,
        cmap=LinearSegmentedColormap.from_list("shares", [paper, curves[0]]),
        norm=PowerNorm(0.5, 0, 1),
        interpolation="nearest",
    )
    if count <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if share:
                axis.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    color=paper if share > 0.3 else rcParams["text.color"],
                )
    small = 9 if count <= NUMBERED else 6.5
    if named:
        names = [outcome.names[label] for label in order]
        axis.set_xticks(range(count), names, rotation=90, fontsize=small)
        axis.set_yticks(range(count), names, fontsize=small)
        axis.tick_params(length=0)
    else:
        axis.set(xticks=[], yticks=[])
    axis.set(xlabel="taken for", ylabel="class")
    bar = figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02)
    ticks = (0, 0.01, 0.05, 0.2, 0.5, 1)
    bar.set_ticks(ticks, labels=[f"{share:.0%}" for share in ticks])
    bar.outline.set_visible(False)
    pairs = confusion.worst_pairs(outcome.matrix, TOLD)
    said = [
        f"{outcome.names[a]} taken for {outcome.names[b]} {n} times"
        for a, b, n in pairs
    ]
    return "; ".join(said) or "every image was recognized"


def draw_class_accuracy(figure, outcome: Outcome) -> str:
    """The share of each class's images that were recognized."""
    from matplotlib.ticker import PercentFormatter

    rows = outcome.by_class
    values = [row.accuracy for row in rows]
    axis, place = figure.subplots(), range(len(rows))
    if len(rows) <= NAMED:
        figure.set_figheight(max(1.1 + 0.16 * len(rows), 2.6))
        axis.barh(place, values, color="C0")
        names = [outcome.names[row.label] for row in rows]
        small = 9 if len(rows) <= 20 else 7
        axis.set_yticks(place, names, fontsize=small)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
    else:
        axis.fill_betweenx(place, values, step="mid", color="C0")
        axis.set(ylabel="classes, the least accurate first")
        axis.set_ylim(len(rows), 0)
    axis.set(xlabel="accuracy", xlim=(0, 1))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    worst = [f"{outcome.names[r.label]} {r.accuracy:.0%}" for r in rows]
    if len(rows) <= 2 * TOLD:
        return ", ".join(worst)
    low, high = ", ".join(worst[:TOLD]), ", ".join(worst[: -TOLD - 1 : -1])
    return f"least accurate {low}; most accurate {high}"


def draw_reliability(figure, outcome: Outcome) -> str:
    """Accuracy against confidence, and how many images are that sure."""
    from matplotlib import rcParams
    from matplotlib.ticker import PercentFormatter

    found = outcome.reliability
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    width = 0.9 * (found.edges[1] - found.edges[0])
    upper.bar(middle, found.accuracy, width, color="C0", label="accuracy")
    upper.plot(
        found.confidence,
        found.confidence,
        "D",
        color="C1",
        markersize=4,
        label="mean confidence",
    )
    ink = rcParams["text.color"]
    upper.plot((0, 1), (0, 1), ":", color=ink, linewidth=1)
    upper.set(ylabel="accuracy", ylim=(0, 1))
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    lower.bar(middle, found.counts, width, color="C2")
    lower.set(ylabel="images", xlabel="confidence", xlim=(0, 1))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper left", ncols=2)
    gap = found.accuracy - found.confidence
    said = [
        f"{a:.0%} right where {c:.0%} sure"
        for a, c, n in zip(
            found.accuracy, found.confidence, found.counts, strict=True
        )
        if n
    ]
    total = (gap[found.counts > 0] * found.counts[found.counts > 0]).sum()
    which = "sure" if total < 0 else "doubtful"
    return (
        f"expected calibration error {found.error:.1%}, on the whole too "
        f"{which}; {', '.join(said)}"
    )


# name -> (title, a note, function of a figure and an outcome)
OUTCOMES = {
    "confusion": (
        "Confusion matrix",
        "Each row is a class and adds up to 100% of its images.",
        draw_confusion,
    ),
    "class_accuracy": ("Accuracy of each class", "", draw_class_accuracy),
    "reliability": (
        "Reliability",
        "Bars on the dotted line: as often right as it is sure.",
        draw_reliability,
    ),
}
