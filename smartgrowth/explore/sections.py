"""The page's sections about the images: HTML from the data and its figures."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from smartgrowth.config import Config
from smartgrowth.curriculum.choose import hard_images
from smartgrowth.data.store import TRAIN, VALIDATION, Data, Split
from smartgrowth.explore import colors, drawing, duplicates
from smartgrowth.plan import Plan
from smartgrowth.rendering.contact_sheet import data_uri
from smartgrowth.rendering.figure import THEMES, render
from smartgrowth.rendering.html import figure, gallery, table
from smartgrowth.rendering.text import short_name
from smartgrowth.runtime import backend

PICTURE = 64  # pixels a side, at most
SAMPLES = 200  # pictures in the grid of samples
SAMPLES_PER_CLASS = 8
ROWS = 20  # classes with a row of samples; of more, one picture each
ICONIC_CLASSES, ICONIC = 12, 10
PAIRS = 12
TABLE_ROWS = 1000
GRAY_CLASSES = 5


def plot(title: str, draw_into: Callable, note: str = "") -> str:
    """A `page.figure` of what `draw_into` draws, in both themes."""
    (light, alt), (dark, _) = (render(draw_into, theme) for theme in THEMES)
    return figure(title, light, dark, f"{title}: {alt}.", note)


def headline(data: Data, growth: str) -> str:
    """Tiles of what the dataset is; growth: what the plan does to it."""
    report = data.report()
    train, validation = len(data.train.labels), len(data.validation.labels)
    whole = "in the whole dataset"
    tiles = [
        (
            "Images",
            f"{train + validation:,}",
            f"{train:,} to train, {validation:,} to validate",
        ),
        ("Classes", f"{len(data.class_names):,}", ""),
        (
            "Native size",
            f"{data.native_size} px" if data.native_size else "–",
            "no copy is larger" if data.native_size else "any size is stored",
        ),
        *(
            (name.capitalize(), f"{len(report.get(name, ())):,}", whole)
            for name in ("refused", "repaired", "doubted")
        ),
        ("What grows", growth, ""),
    ]
    return "".join(
        f"<div><dt>{label}<dd><b>{escape(value)}</b><dd>{note}</div>\n"
        for label, value, note in tiles
    )


def counts(
    data: Data, stages: Sequence[str], order: np.ndarray, oversample: bool
) -> str:
    """Images of each class, as a plot and as a table.

    stages: of each class, when it enters. order: of entering, int64 (C,).
    """
    size = len(data.class_names)
    train = data.class_counts
    validation = np.bincount(data.validation.labels, minlength=size)
    shown = np.full(size, train.max()) if oversample else None
    names = [short_name(name) for name in data.class_names]
    if len({*train}) == len({*validation}) == 1:
        drawn = (
            f"<p>Every class has {train[0]:,} training and {validation[0]:,} "
            "validation images.</p>"
        )
    else:
        drawn = plot(
            "Images of each class",
            lambda figure: drawing.draw_counts(
                figure, names, train, validation, shown
            ),
            f"{train.min():,} to {train.max():,} training images a class",
        )
        drawn = f'<div class="plots">{drawn}</div>'
    head = ["Class", "Group", "Enters", "Training", "Validation"]
    head += ["Shown, oversampled"] * oversample
    groups = data.groups or {}
    rows = []
    for label in order[:TABLE_ROWS]:
        name = data.class_names[label]
        row = [name, groups.get(name, "–"), stages[label]]
        numbers = [train[label], validation[label]]
        numbers += [train.max()] * oversample
        rows.append(row + [f"{number:,}" for number in numbers])
    title = "Every class, in the order of entering"
    if size > TABLE_ROWS:
        title = f"The first {TABLE_ROWS:,} of {size:,} classes to enter"
    return (
        f"<h2>Classes</h2>\n{drawn}\n<details><summary>{title}</summary>\n"
        f'<div class="stages" tabindex="0">{table(head, rows)}</div></details>'
    )


def sizes(split: Split, needed: int) -> str:
    """Heights and widths of the originals; needed: the largest trained on."""
    both = split.original_sizes()
    heights, widths = both.T
    small = np.count_nonzero(both.min(axis=1) < needed) / len(both)
    note = f"smaller than {needed} px on a side: {small:.1%}"
    if (both == both[0]).all():
        body = (
            f"<p>Every training image is {heights[0]} px high and {widths[0]} "
            f"px wide; {note}.</p>"
        )
    else:
        square = np.count_nonzero(heights == widths) / len(both)
        drawn = plot(
            "Heights and widths of the originals",
            lambda figure: drawing.draw_sizes(figure, heights, widths),
            f"{note}; square: {square:.1%}",
        )
        body = f'<div class="plots">{drawn}</div>'
    return f"<h2>Sizes of the originals</h2>\n{body}"


def colour(data: Data, size: int, seed: int) -> str:
    """Channels, brightness, and images without colour."""
    images = colors.sample(data.train, size, seed)
    note = f"{len(images):,} training images at {size} px"
    drawn = plot(
        "Values of the channels",
        lambda figure: drawing.draw_channels(figure, colors.histogram(images)),
        note,
    )
    drawn += plot(
        "Brightness of an image",
        lambda figure: drawing.draw_brightness(
            figure, colors.brightness(images)
        ),
        note,
    )
    rows = [
        (name.capitalize(), f"{mean:.1f}", f"{variance**0.5:.1f}")
        for name, mean, variance in zip(
            drawing.CHANNELS, data.mean, data.variance, strict=True
        )
    ]
    head = ("Channel, 0 to 255", "Mean", "Deviation")
    gray = colors.grayscale(data.train, size)
    return (
        f'<h2>Colour</h2>\n<div class="plots">{drawn}</div>\n'
        f"<div>{table(head, rows)}</div>\n<p>{_gray_text(data, gray)}</p>"
    )


def _gray_text(data: Data, gray: np.ndarray) -> str:
    """What share has no colour, and which classes have most."""
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
    return escape(text)


def samples(data: Data, size: int, seed: int) -> str:
    """Some training images of every class, drawn at random."""
    classes = np.arange(len(data.class_names))
    random = np.random.default_rng([seed, 12])
    if len(classes) <= ROWS:
        each = min(SAMPLES // len(classes), SAMPLES_PER_CLASS)
        body = ""
        for label in classes:
            members = np.flatnonzero(data.train.labels == label)
            chosen = random.choice(
                members, min(each, len(members)), replace=False
            )
            body += _row(data, label, chosen, size)
    else:
        if len(classes) > SAMPLES:
            classes = np.sort(random.choice(classes, SAMPLES, replace=False))
        chosen = [
            random.choice(np.flatnonzero(data.train.labels == label))
            for label in classes
        ]
        body = gallery(
            ([picture(data, TRAIN, index, size)], short_name(name))
            for index, name in zip(
                chosen,
                [data.class_names[label] for label in classes],
                strict=True,
            )
        )
    return f"<h2>Samples</h2>\n<p>Training images, at random.</p>\n{body}"


def iconic(
    data: Data, orders: Sequence[np.ndarray], size: int, seed: int
) -> str:
    """The first images of some classes; orders: an iconic sample order."""
    classes = np.arange(len(data.class_names))
    if len(classes) > ICONIC_CLASSES:
        random = np.random.default_rng([seed, 13])
        classes = random.choice(classes, ICONIC_CLASSES, replace=False)
    body = "".join(
        _row(data, label, orders[label][:ICONIC], size)
        for label in np.sort(classes)
    )
    return (
        "<h2>Iconic images</h2>\n<p>The medoid first, then always what those "
        "before represent worst: with --sample_order=iconic they enter in this "
        f"order.</p>\n{body}"
    )


def augmentation(
    config: Config,
    data: Data,
    plan: Plan,
    classes: np.ndarray,
    samples: Sequence[np.ndarray],
) -> str:
    """An image under every variant there is, and the run's own first batches.

    classes, samples: the run's orders.
    """
    backend.import_backend()
    backend.find_devices()
    from smartgrowth.data.augment.policy import VARIANTS
    from smartgrowth.training import preview
    from smartgrowth.training.batches import Batches

    size = plan.stages[-1].image_size
    alone = preview.variants(data, size, tuple(VARIANTS))
    hard = hard_images(config, data)
    batches = Batches(config, data, classes, samples, hard)
    together = preview.batches(batches, plan)
    body = ""
    for title, shown in (
        ("Each variant, from a third of its strength to the whole", alone),
        (f"--augment={','.join(config.augment)}, as trained on", together),
    ):
        pictures = [
            ([(data_uri(image, PICTURE), caption)], caption)
            for image, caption in shown
        ]
        body += f"<h3>{escape(title)}</h3>\n{gallery(pictures)}"
    return f"<h2>Augmentation</h2>\n{body}"


def near_duplicates(data: Data, nearest: duplicates.Nearest, size: int) -> str:
    """Validation images that are in the training set, or nearly."""
    found = nearest.found()
    share = len(found) / len(data.validation.labels)
    text = (
        f"{len(found):,} of the validation images ({share:.2%}) look like a "
        f"training image, in {nearest.pairs:,} pairs: of their thumbnails, "
        f"the cosine is {duplicates.THRESHOLD} or more."
    )
    same = [
        f"{id}: {reason}"
        for id, reason in data.report().get("doubted", {}).items()
    ]
    text += " With the very same pixels as an image of the other split or of "
    text += f"another class: {len(same):,}"
    text += "." if not same else ", such as:"
    listed = "".join(f"<li>{escape(line)}</li>\n" for line in same[:5])
    pairs = []
    for index in found[:PAIRS]:
        twin = nearest.index[index]
        validation = _describe(data, VALIDATION, index)
        training = _describe(data, TRAIN, twin)
        caption = f"{nearest.similarity[index]:.3f}: {validation}; {training}"
        both = [
            picture(data, VALIDATION, index, size),
            picture(data, TRAIN, twin, size),
        ]
        pairs.append((both, caption))
    return (
        f"<h2>Duplicates</h2>\n<p>{escape(text)}</p>\n"
        + (f"<ul>\n{listed}</ul>\n" if listed else "")
        + (gallery(pairs, "pairs") if pairs else "")
    )


def picture(data: Data, split: str, index: int, size: int) -> tuple[str, str]:
    """An image as a data URI, and the text that says what it is."""
    side = data.split(split)
    image = side.images(size)[side.rows[index]]
    return data_uri(image, PICTURE), _describe(data, split, index)


def _row(data: Data, label: int, indices, size: int) -> str:
    shown = gallery(
        (([picture(data, TRAIN, index, size)], "") for index in indices), "row"
    )
    return f"<h3>{escape(data.class_names[label])}</h3>\n{shown}"


def _describe(data: Data, split: str, index: int) -> str:
    side = data.split(split)
    name = short_name(data.class_names[side.labels[index]])
    what = "training" if split == TRAIN else split
    return f"{name}, {what} image {side.ids[index]}"
