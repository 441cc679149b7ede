"""What `figure.render` draws for the page: each returns the alt text.

Colors come from rcParams, so one function draws both themes.
"""

from collections.abc import Sequence

import numpy as np

BAR = 0.22  # inches per bar or leaf with a name
NAMED_BARS = 60  # most classes with names; with more, only counts
CHANNELS = {"red": ("C6", "-"), "green": ("C2", "--"), "blue": ("C0", ":")}


def draw_counts(figure, names, train, validation, oversampled=None) -> str:
    """Draws bars of images per class.

    Args:
      names: of the classes, from top to bottom.
      train, validation: int (C,).
      oversampled: int (C,), images per class after oversampling; None without.
    """
    if len(names) <= NAMED_BARS:
        figure.set_figheight(1.2 + BAR * len(names))
    axis = figure.subplots()
    place = np.arange(len(names))
    named = len(names) <= NAMED_BARS
    if not named:
        order = np.argsort(-train, kind="stable")
        train, validation = train[order], validation[order]
        if oversampled is not None:
            oversampled = oversampled[order]
    if oversampled is not None:
        axis.barh(
            place,
            oversampled,
            facecolor="none",
            edgecolor="C1",
            linewidth=1,
            label="training, oversampled",
        )
    axis.barh(place - 0.2, train, 0.4, color="C0", label="training")
    axis.barh(place + 0.2, validation, 0.4, color="C2", label="validation")
    axis.set(xlabel="images", ylim=(len(names) - 0.4, -0.6))
    if named:
        axis.set_yticks(place, names)
        axis.tick_params(axis="y", length=0)
    else:
        axis.set_ylabel("classes, the largest first")
    figure.legend(loc="outside upper left", ncols=3)
    ends = f"{train.min():,} to {train.max():,} training images per class"
    if not named:
        return ends
    pairs = zip(names, train, validation, strict=True)
    each = (f"{name} {a:,} and {b:,}" for name, a, b in pairs)
    return f"{ends}; training and validation: {', '.join(each)}"


def draw_sizes(figure, heights, widths) -> str:
    """Draws histograms of the images' heights and widths, int (N,) each."""
    axis = figure.subplots()
    low = min(heights.min(), widths.min())
    high = max(heights.max(), widths.max())
    edges = np.linspace(low - 0.5, high + 0.5, min(high - low + 2, 41))
    summaries = []
    for color, stroke, (name, values) in zip(
        ("C0", "C1"),
        ("-", "--"),
        (("height", heights), ("width", widths)),
        strict=True,
    ):
        counts, _ = np.histogram(values, edges)
        axis.stairs(
            counts,
            edges,
            color=color,
            linestyle=stroke,
            linewidth=1.6,
            label=name,
        )
        summaries.append(f"{name} {spread(values)} px")
    axis.set(xlabel="pixels", ylabel="training images", ylim=(0, None))
    figure.legend(loc="outside upper left", ncols=2)
    return "; ".join(summaries)


def draw_channels(figure, histogram) -> str:
    """Draws the share of pixels at each value, of a `colors.histogram`."""
    axis = figure.subplots()
    middles = histogram.reshape(3, 64, 4).sum(axis=2)  # four values per bin
    summaries = []
    for counts, (name, (color, stroke)) in zip(
        middles, CHANNELS.items(), strict=True
    ):
        share = 100 * counts / counts.sum()
        axis.stairs(
            share,
            np.arange(0, 257, 4),
            color=color,
            linestyle=stroke,
            linewidth=1.6,
            label=name,
        )
        ends = f"{share[0]:.1f}% below 4, {share[-1]:.1f}% above 251"
        summaries.append(f"{name}: {ends}")
    axis.set(xlabel="value", ylabel="% of pixels", xlim=(0, 256))
    axis.set_ylim(bottom=0)
    axis.set_xticks((0, 64, 128, 192, 255))
    figure.legend(loc="outside upper left", ncols=3)
    return "; ".join(summaries)


def draw_brightness(figure, values) -> str:
    """Draws a histogram of `colors.brightness`."""
    axis = figure.subplots()
    axis.hist(values, np.arange(0, 257, 8), color="C0")
    axis.set(xlabel="mean brightness", ylabel="images", xlim=(0, 256))
    axis.set_xticks((0, 64, 128, 192, 255))
    return f"brightness {spread(values)} of 255"


def draw_dendrogram(figure, centroids, labels: Sequence[str], stages) -> str:
    """Draws a tree of classes by average linkage.

    Args:
      centroids: float (C, D), C at least 2.
      labels: of the leaves.
      stages: the index of each leaf's color, or None.

    Returns:
      The leaves from top to bottom.
    """
    from matplotlib.collections import LineCollection
    from scipy.cluster import hierarchy

    figure.set_figheight(0.9 + 0.85 * BAR * len(labels))
    axis = figure.subplots()
    linkage = hierarchy.linkage(centroids, "average", optimal_ordering=True)
    tree = hierarchy.dendrogram(linkage, no_plot=True)
    lines = [
        np.column_stack([x, y])
        for y, x in zip(tree["icoord"], tree["dcoord"], strict=True)
    ]
    axis.add_collection(LineCollection(lines, colors="C0", linewidths=1.2))
    places = 5 + 10 * np.arange(len(labels))  # SciPy's positions of leaves
    axis.yaxis.tick_right()  # before the colors, since it makes new labels
    axis.set_yticks(places, [labels[leaf] for leaf in tree["leaves"]])
    for text, leaf in zip(axis.get_yticklabels(), tree["leaves"], strict=True):
        if stages[leaf] is not None:
            text.set_color(f"C{stages[leaf]}")
    axis.set(
        ylim=(10 * len(labels), 0),
        xlim=(1.02 * linkage[-1, 2] or 1.0, 0),
        xlabel="distance between classes",
    )
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    return ", ".join(labels[leaf] for leaf in tree["leaves"])


def spread(values) -> str:
    """Returns minimum, median and maximum of some numbers, as text."""
    low, middle, high = np.percentile(values, (0, 50, 100))
    if low == high:
        return f"{low:,.0f}"
    return f"{low:,.0f} to {high:,.0f}, half of them up to {middle:,.0f}"
