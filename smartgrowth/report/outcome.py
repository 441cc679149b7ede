"""Plots of a run's predictions: confusions, classes, calibration.

Functions of a matplotlib figure and an `Outcome`, for `figure.render`: each
draws and returns the alt text.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from smartgrowth.metrics import calibration, confusion
from smartgrowth.rendering.text import short_name
from smartgrowth.runs.predictions import read_predictions
from smartgrowth.runs.reader import Run

if TYPE_CHECKING:  # imported late, when there is something to draw
    import numpy as np

CLUSTERED = 12  # with more classes, the matrix is ordered by clusters
NUMBERED = 12  # most classes for numbers in the cells
NAMED = 60  # most classes for legible names beside a plot
IN_ALT_TEXT = 5  # classes named there


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Predictions of all validation images.

    Attributes:
      names: of the classes, short.
      labels: int64 (N,).
      probabilities: float (N, C).
    """

    names: list[str]
    labels: "np.ndarray"
    probabilities: "np.ndarray"

    @functools.cached_property
    def matrix(self):
        """The `confusion.confusion_matrix`."""
        predicted = self.probabilities.argmax(axis=1)
        return confusion.confusion_matrix(
            self.labels, predicted, len(self.names)
        )

    @property
    def wrong(self) -> int:
        """How many images were predicted as another class."""
        return int(self.matrix.sum() - self.matrix.trace())

    @functools.cached_property
    def order(self):
        """The classes in the order in which the matrix is drawn."""
        import numpy as np

        if len(self.names) <= CLUSTERED:
            return np.arange(len(self.names))
        return confusion.clustered_order(self.matrix)

    @functools.cached_property
    def by_class(self):
        return confusion.by_class(self.matrix)

    @functools.cached_property
    def reliability(self):
        return calibration.reliability(self.probabilities, self.labels)


def read_outcome(run: Run) -> Outcome | None:
    """Returns a run's outcome; None while there are no predictions."""
    predictions = read_predictions(run.directory)
    if predictions is None:
        return None
    labels, probabilities, names = predictions
    names = [short_name(name) for name in names]
    return Outcome(names, labels, probabilities)


def is_wide(outcome: Outcome) -> bool:
    """Returns whether the confusion matrix needs the page's full width."""
    return NUMBERED < len(outcome.names) <= NAMED


def draw_confusion(figure, outcome: Outcome) -> str:
    """Draws the confusion matrix as shares of each class's images."""
    import numpy as np
    from matplotlib import rcParams
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    shares, count = confusion.row_shares(outcome.matrix), len(outcome.names)
    order = outcome.order
    shares = shares[np.ix_(order, order)]
    named = count <= NAMED
    side = 2.4 + 0.13 * count if is_wide(outcome) else 5.6
    # Wider by the color bar, and by the label beside long names, which the
    # layout would cut off.
    figure.set_size_inches(side + (1.5 if is_wide(outcome) else 0.9), side)
    axis = figure.subplots()
    curves = rcParams["axes.prop_cycle"].by_key()["color"]
    paper = rcParams["axes.facecolor"]
    # A root, so that a few percent are visible beside the diagonal.
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
    axis.set(xlabel="predicted", ylabel="class")
    bar = figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02)
    ticks = (0, 0.01, 0.05, 0.2, 0.5, 1)
    bar.set_ticks(ticks, labels=[f"{share:.0%}" for share in ticks])
    bar.outline.set_visible(False)
    pairs = confusion.worst_pairs(outcome.matrix, IN_ALT_TEXT)
    alt = [
        f"{outcome.names[a]} predicted as {outcome.names[b]} {n} times"
        for a, b, n in pairs
    ]
    return "; ".join(alt) or "every image was recognized"


def draw_class_accuracy(figure, outcome: Outcome) -> str:
    """Draws each class's accuracy."""
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
    if len(rows) <= 2 * IN_ALT_TEXT:
        return ", ".join(worst)
    low, high = (
        ", ".join(worst[:IN_ALT_TEXT]),
        ", ".join(worst[: -IN_ALT_TEXT - 1 : -1]),
    )
    return f"least accurate {low}; most accurate {high}"


def draw_reliability(figure, outcome: Outcome) -> str:
    """Draws accuracy against confidence, and images per confidence."""
    from matplotlib import rcParams
    from matplotlib.ticker import PercentFormatter

    bins = outcome.reliability
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle = (bins.edges[1:] + bins.edges[:-1]) / 2
    width = 0.9 * (bins.edges[1] - bins.edges[0])
    upper.bar(middle, bins.accuracy, width, color="C0", label="accuracy")
    upper.plot(
        bins.confidence,
        bins.confidence,
        "D",
        color="C1",
        markersize=4,
        label="mean confidence",
    )
    ink = rcParams["text.color"]
    upper.plot((0, 1), (0, 1), ":", color=ink, linewidth=1)
    upper.set(ylabel="accuracy", ylim=(0, 1))
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    lower.bar(middle, bins.counts, width, color="C2")
    lower.set(ylabel="images", xlabel="confidence", xlim=(0, 1))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper left", ncols=2)
    filled = bins.counts > 0
    gaps = (bins.accuracy - bins.confidence)[filled]
    which = "overconfident"
    if (gaps * bins.counts[filled]).sum() >= 0:
        which = "underconfident"
    pairs = zip(bins.accuracy[filled], bins.confidence[filled], strict=True)
    shares = [f"{a:.0%} accurate at {c:.0%} confidence" for a, c in pairs]
    return (
        f"expected calibration error {bins.error:.1%}, {which} on the whole; "
        f"{', '.join(shares)}"
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
        "Bars on the dotted line: as accurate as confident.",
        draw_reliability,
    ),
}
