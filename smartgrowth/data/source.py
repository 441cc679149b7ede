"""What a dataset is, wherever its images come from.

Every dataset, public or private, is a `Source`: a stream of labeled images,
from which `build` makes a store.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

TRAIN, VALIDATION = "train", "validation"
DIGEST = 16  # bytes of an image's digest


@dataclasses.dataclass(frozen=True)
class Example:
    """One labeled image on its way into the store.

    Attributes:
      id: identifies the image for users; its path if it has one.
      split: `TRAIN` or `VALIDATION`.
      label: index into the source's `class_names`.
      image: uint8 (height, width, 3) RGB, any size.
      note: what was repaired in decoding ("grayscale", ...), or "".
      digest: `DIGEST` bytes that stand for the image wherever it is decoded;
        b"" stands for that of its pixels.
      size: height and width of the whole image, of which `image` may be a
        smaller version; None if it is as large.
    """

    id: str
    split: str
    label: int
    image: np.ndarray
    note: str = ""
    digest: bytes = b""
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Encoded:
    """An `Example` that is not decoded yet.

    Attributes:
      id, split, label: as in `Example`.
      content: an image file's, or its path; b"" if its archive could not be
        read there; or a function that returns `Example.image`. All can be
        pickled, for a worker to decode them.
      expected: notes to leave out, as "grayscale" in a dataset that is
        entirely grayscale.
    """

    id: str
    split: str
    label: int
    content: bytes | pathlib.Path | Callable[[], np.ndarray]
    expected: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An image that cannot be used, and why; it is in the data report.

    `split` and `label` as in `Example`, where it would have been one; None for
    what was never an image of the dataset.
    """

    id: str
    reason: str
    split: str | None = None
    label: int | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """How to get a dataset.

    Attributes:
      name: the value of `--dataset`.
      fingerprint: changes if the images change; a store with another
        fingerprint is not used.
      class_names: in label order.
      native_size: the side in pixels above which images would only be
        enlarged; None if unknown.
      examples: makes the stream of both splits, in a fixed order.
      groups: the coarse group of each class (a taxonomy), or None.
      notes: lines for a person who makes a store of it: what is not used.
    """

    name: str
    fingerprint: str
    class_names: tuple[str, ...]
    native_size: int | None
    examples: Callable[[], Iterator[Encoded | Example | Refusal]]
    groups: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
