"""The page's sections of figures: counts, sizes and colors of the images."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from smartgrowth.data.store import Data, Split
from smartgrowth.explore import colors, drawing
from smartgrowth.rendering.figure import Plot, make_plot
from smartgrowth.rendering.html import Table, Tile
from smartgrowth.rendering.text import short_name

TABLE_ROWS = 1000
GRAY_CLASSES = 5


def headline(data: Data, growth: str) -> list[Tile]:
    """Returns tiles of the dataset's figures; `growth` describes the plan."""
    report = data.report()
    train, validation = len(data.train.labels), len(data.validation.labels)
    whole = "in the whole dataset"
    return [
        Tile(
            "Images",
            f"{train + validation:,}",
            f"{train:,} to train, {validation:,} to validate",
        ),
        Tile("Classes", f"{len(data.class_names):,}"),
        Tile(
            "Native size",
            f"{data.native_size} px" if data.native_size else "–",
            "no copy is larger" if data.native_size else "any size is stored",
        ),
        *(
            Tile(name.capitalize(), f"{len(report.get(name, ())):,}", whole)
            for name in ("refused", "repaired", "doubted")
        ),
        Tile("What grows", growth),
    ]


@dataclasses.dataclass(frozen=True)
class Counts:
    """Images per class: a plot, or a sentence if all are equal; a table."""

    plot: Plot | None
    sentence: str
    title: str
    table: Table


def counts(
    data: Data, stages: Sequence[str], order: np.ndarray, oversample: bool
) -> Counts:
    """Returns the number of images per class.

    Args:
      data: has the labels.
      stages: the name of each class's first stage.
      order: the class order, int64 (C,).
      oversample: whether training draws from every class equally often.
    """
    size = len(data.class_names)
    train = data.class_counts
    validation = np.bincount(data.validation.labels, minlength=size)
    oversampled = np.full(size, train.max()) if oversample else None
    names = [short_name(name) for name in data.class_names]
    plot, sentence = None, ""
    if len({*train}) == len({*validation}) == 1:
        sentence = (
            f"Every class has {train[0]:,} training and {validation[0]:,} "
            "validation images."
        )
    else:
        plot = make_plot(
            "Images of each class",
            lambda figure: drawing.draw_counts(
                figure, names, train, validation, oversampled
            ),
            f"{train.min():,} to {train.max():,} training images per class",
        )
    head = ["Class", "Group", "Enters", "Training", "Validation"]
    head += ["Training, oversampled"] * oversample
    groups = data.groups or {}
    rows = []
    for label in order[:TABLE_ROWS]:
        name = data.class_names[label]
        row = [name, groups.get(name, "–"), stages[label]]
        numbers = [train[label], validation[label]]
        numbers += [train.max()] * oversample
        rows.append(row + [f"{number:,}" for number in numbers])
    title = "Every class, in the order in which they become active"
    if size > TABLE_ROWS:
        title = f"The first {TABLE_ROWS:,} of {size:,} classes, in that order"
    return Counts(plot, sentence, title, Table(head, rows))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the original images: a plot, or a sentence if all are equal."""

    plot: Plot | None
    sentence: str


def sizes(split: Split, needed: int) -> Sizes:
    """Returns heights and widths of the original images.

    Args:
      split: has the sizes.
      needed: the plan's largest image size, in pixels.
    """
    both = split.original_sizes()
    heights, widths = both.T
    small = np.count_nonzero(both.min(axis=1) < needed) / len(both)
    note = f"smaller than {needed} px on a side: {small:.1%}"
    if (both == both[0]).all():
        sentence = (
            f"Every training image is {heights[0]} px high and {widths[0]} px "
            f"wide; {note}."
        )
        return Sizes(None, sentence)
    square = np.count_nonzero(heights == widths) / len(both)
    plot = make_plot(
        "Heights and widths of the originals",
        lambda figure: drawing.draw_sizes(figure, heights, widths),
        f"{note}; square: {square:.1%}",
    )
    return Sizes(plot, "")


@dataclasses.dataclass(frozen=True)
class Colors:
    """Plots of channels and brightness, their means, the share of gray."""

    plots: list[Plot]
    table: Table
    sentence: str


def color(data: Data, size: int, seed: int) -> Colors:
    """Returns channels, brightness, and how many images have no color.

    Args:
      data: has the images.
      size: of the stored images to read, in pixels.
      seed: of the choice of images for the plots.
    """
    images = colors.sample(data.train, size, seed)
    note = f"{len(images):,} training images at {size} px"
    plots = [
        make_plot(
            "Values of the channels",
            lambda figure: drawing.draw_channels(
                figure, colors.histogram(images)
            ),
            note,
        ),
        make_plot(
            "Brightness of an image",
            lambda figure: drawing.draw_brightness(
                figure, colors.brightness(images)
            ),
            note,
        ),
    ]
    rows = [
        (name.capitalize(), f"{mean:.1f}", f"{variance**0.5:.1f}")
        for name, mean, variance in zip(
            drawing.CHANNELS, data.mean, data.variance, strict=True
        )
    ]
    table = Table(("Channel, 0 to 255", "Mean", "Deviation"), rows)
    gray = colors.grayscale(data.train, size)
    return Colors(plots, table, _gray_text(data, gray))


def _gray_text(data: Data, gray: np.ndarray) -> str:
    """Returns the share without color, and the classes with most, as text."""
    text = f"Grayscale training images: {gray.sum():,} ({gray.mean():.1%})."
    if gray.any():
        share = np.bincount(
            data.train.labels, gray, len(data.class_names)
        ) / np.maximum(data.class_counts, 1)
        most = np.argsort(-share, kind="stable")[:GRAY_CLASSES]
        parts = [
            f"{short_name(data.class_names[label])} {share[label]:.1%}"
            for label in most
            if share[label]
        ]
        text += f" Most of them: {', '.join(parts)}."
    return text
