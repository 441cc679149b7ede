"""The page's sections of pictures: galleries of the data's images."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from smartgrowth.data import duplicates
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.store import Data
from smartgrowth.experiment import Experiment
from smartgrowth.rendering.contact_sheet import data_uri
from smartgrowth.rendering.html import Frame, Gallery, Picture
from smartgrowth.rendering.text import short_name
from smartgrowth.runtime import backend

PICTURE = 64  # pixels per side, at most
SAMPLES = 200  # pictures in the grid of samples
SAMPLES_PER_CLASS = 8
ROWS = 20  # most classes with a row of samples; with more, one picture each
ICONIC_CLASSES, ICONIC = 12, 10
PAIRS = 12
DOUBTED = 5  # near-duplicates that are named, at most


def samples(data: Data, size: int, seed: int) -> list[Gallery]:
    """Returns random training images of every class.

    Args:
      data: has the images.
      size: of the stored images, in pixels.
      seed: of the choice.
    """
    classes = np.arange(len(data.class_names))
    random = np.random.default_rng([seed, 12])
    if len(classes) <= ROWS:
        each = min(SAMPLES // len(classes), SAMPLES_PER_CLASS)
        rows = []
        for label in classes:
            members = np.flatnonzero(data.train.labels == label)
            chosen = random.choice(
                members, min(each, len(members)), replace=False
            )
            rows.append(_row(data, label, chosen, size))
        return rows
    if len(classes) > SAMPLES:
        classes = np.sort(random.choice(classes, SAMPLES, replace=False))
    frames = []
    for label in classes:
        index = random.choice(np.flatnonzero(data.train.labels == label))
        caption = short_name(data.class_names[label])
        frames.append(Frame([picture(data, TRAIN, index, size)], caption))
    return [Gallery(frames)]


def iconic(
    data: Data, orders: Sequence[np.ndarray], size: int, seed: int
) -> list[Gallery]:
    """Returns the first images of some classes.

    Args:
      data: has the images.
      orders: an iconic sample order.
      size: of the stored images, in pixels.
      seed: of the choice of classes, if there are many.
    """
    classes = np.arange(len(data.class_names))
    if len(classes) > ICONIC_CLASSES:
        random = np.random.default_rng([seed, 13])
        classes = random.choice(classes, ICONIC_CLASSES, replace=False)
    return [
        _row(data, label, orders[label][:ICONIC], size)
        for label in np.sort(classes)
    ]


def augmentation(experiment: Experiment) -> list[Gallery]:
    """Returns an image under every variant, and the run's first batches."""
    backend.start()
    from smartgrowth.data.augment import policy
    from smartgrowth.training import preview

    config = experiment.config
    alone = preview.variants(
        experiment.data,
        config.size_seen(experiment.plan.stages[-1].image_size),
        tuple(policy.VARIANTS),
    )
    together = preview.first_batches(experiment, policy.choose(config))
    galleries = []
    for title, captioned in (
        ("Each variant, from a third of its strength to the whole", alone),
        (f"--augment={','.join(config.augment)}, as trained on", together),
    ):
        frames = [
            Frame([Picture(data_uri(image, PICTURE), caption)], caption)
            for image, caption in captioned
        ]
        galleries.append(Gallery(frames, title))
    return galleries


@dataclasses.dataclass(frozen=True)
class NearDuplicates:
    """Near-duplicates in both splits: a sentence, names, and pairs."""

    sentence: str
    doubted: list[str]
    pairs: Gallery


def near_duplicates(
    data: Data, nearest: duplicates.Nearest, size: int
) -> NearDuplicates:
    """Returns validation images with a near-duplicate in the training set.

    Args:
      data: has the images.
      nearest: of `duplicates.find_nearest`.
      size: of the stored images, in pixels.
    """
    twins = nearest.matches()
    share = len(twins) / len(data.validation.labels)
    doubted = [
        f"{id}: {reason}"
        for id, reason in data.report().get("doubted", {}).items()
    ]
    sentence = (
        f"{len(twins):,} of the validation images ({share:.2%}) look like a "
        f"training image, in {nearest.pairs:,} pairs: of their thumbnails, "
        f"the cosine is {duplicates.THRESHOLD} or more. With the very same "
        "pixels as an image of the other split or of another class: "
        f"{len(doubted):,}{', such as:' if doubted else '.'}"
    )
    frames = []
    for index in twins[:PAIRS]:
        pair = [
            picture(data, VALIDATION, index, size),
            picture(data, TRAIN, nearest.index[index], size),
        ]
        names = "; ".join(each.alt for each in pair)
        frames.append(Frame(pair, f"{nearest.similarity[index]:.3f}: {names}"))
    pairs = Gallery(frames, kind="pairs")
    return NearDuplicates(sentence, doubted[:DOUBTED], pairs)


def picture(data: Data, split: str, index: int, size: int) -> Picture:
    """Returns an image with its class and name as alt text."""
    side = data.split(split)
    image = side.images(size)[side.rows[index]]
    name = short_name(data.class_names[side.labels[index]])
    what = "training" if split == TRAIN else split
    alt = f"{name}, {what} image {side.ids[index]}"
    return Picture(data_uri(image, PICTURE), alt)


def _row(data: Data, label: int, indices, size: int) -> Gallery:
    """Returns training images under the name of their class."""
    frames = [Frame([picture(data, TRAIN, k, size)]) for k in indices]
    return Gallery(frames, data.class_names[label], "row")
