"""A dataset decoded once into fixed-size uint8 arrays on disk.

Every dataset, public or private, arrives as a `Source`: a stream of labelled
images. This file knows nothing of where they come from or what trains on them.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

TRAIN, VALIDATION = "train", "validation"


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled image on its way into the store.

    id: what a person would look it up by, a path where there is one.
    split: `TRAIN` or `VALIDATION`.
    label: index into the source's `class_names`.
    image: uint8 (height, width, 3) RGB, any size.
    note: what had to be repaired to get there ("grayscale", ...), or "".
    """

    id: str
    split: str
    label: int
    image: np.ndarray
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An image that cannot be used, and why; it stands in the data report."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Source:
    """How to get a dataset.

    name: the `--dataset` value that it came from.
    fingerprint: changes when the images would; a store made from another
      fingerprint is not used.
    class_names: in label order.
    native_size: the side in pixels above which a copy would only be an
      enlargement; None if the images have no limit worth naming.
    examples: makes the stream, both splits, in a fixed order. It may interleave
      `Refusal`s.
    groups: the coarse group of each class (a taxonomy), or None.
    """

    name: str
    fingerprint: str
    class_names: tuple[str, ...]
    native_size: int | None
    examples: Callable[[], Iterator[Example | Refusal]]
    groups: Mapping[str, str] | None = None
