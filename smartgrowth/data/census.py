"""Counts what is written to a store, and finds what is wrong with it."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import store
from smartgrowth.data.resize import central_square, fit_squares, scaled_side
from smartgrowth.data.source import (
    DIGEST,
    TRAIN,
    VALIDATION,
    Encoded,
    Example,
    Refusal,
    Source,
)
from smartgrowth.data.sources import decode

PART = 2**20  # bytes of images that are resized together
ROWS = 256  # whose squared pixels float32 adds up exactly: 256^3 = 2^24


@dataclasses.dataclass
class _Members:
    """Labels, ids, sizes and digests of one split, so far."""

    labels: list[int] = dataclasses.field(default_factory=list)
    ids: list[str] = dataclasses.field(default_factory=list)
    sizes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)
    digest_bytes: bytearray = dataclasses.field(default_factory=bytearray)

    @property
    def digests(self) -> np.ndarray:
        """uint8 (N, DIGEST)."""
        flat = np.frombuffer(self.digest_bytes, np.uint8)
        return flat.reshape(-1, DIGEST)


class Examined(NamedTuple):
    """What a store needs of an image.

    id, split, label, note, digest: as in `Example`. size: its height and
    width. pixels: `DIGEST` bytes that stand for them. means: mean and
    mean square of each channel of the central square, float64 (2, 3). squares:
    image size -> uint8 (size, size, 3), as bytes.
    """

    id: str
    split: str
    label: int
    note: str
    digest: bytes
    size: tuple[int, int]
    pixels: bytes
    means: np.ndarray
    squares: Mapping[int, bytes]


def examine(
    examples: Sequence[Encoded | Example | Refusal],
    sizes: Sequence[int],
) -> list[Examined | Refusal]:
    """Returns what a store needs of each example; refusals as they are.

    A JPEG is decoded at a fraction if its sides are many times those that are
    stored. Then its means are of that, and so are the pixels it is compared by.

    Args:
      examples: of any kind; images of one shape in a row are resized together.
      sizes: to be stored, in pixels.
    """
    found, views = [], []
    for given in examples:
        view = _decode(given, sizes)
        if views and (
            isinstance(view, Refusal)
            or view.shapes != views[0].shapes
            or len(views) * view.example.image.nbytes > PART
        ):
            found += _fit(views, sizes)
            views = []
        if isinstance(view, Refusal):
            found.append(view)
        else:
            views.append(view)
    return found + (_fit(views, sizes) if views else [])


class _View(NamedTuple):
    """An example, and its image as it is decoded for each `scaled_side`."""

    example: Example
    images: dict[int, np.ndarray]

    @property
    def shapes(self) -> tuple:
        shapes = [image.shape for image in self.images.values()]
        return self.example.size, self.example.image.shape, shapes


def _decode(given, sizes: Sequence[int]) -> _View | Refusal:
    small = scaled_side(1)
    example = given
    if isinstance(given, Encoded):
        example = decode.decode_example(given, small)
    if isinstance(example, Refusal):
        return example
    images = {}
    for side in sorted({scaled_side(size) for size in sizes}):
        larger = example
        if side > small and example.size not in (None, example.image.shape[:2]):
            larger = decode.decode_example(given, side)
            if isinstance(larger, Refusal):
                return larger
        images[side] = larger.image
    return _View(example, images)


def _fit(views: Sequence[_View], sizes: Sequence[int]) -> list[Examined]:
    """Returns what a store needs of images with the same `shapes`."""
    example = views[0].example
    full = example.size or example.image.shape[:2]
    if len(views) == 1:  # without a copy of what may be large
        stacks = {side: view[None] for side, view in views[0].images.items()}
    else:
        stacks = {
            side: np.stack([view.images[side] for view in views])
            for side in views[0].images
        }
    squares = {
        size: fit_squares(stacks[scaled_side(size)], size, full)
        for size in sizes
    }
    return [
        Examined(
            example.id,
            example.split,
            example.label,
            example.note,
            example.digest,
            full,
            _hash_pixels(example.image),
            _channel_means(central_square(example.image)),
            {size: squares[size][row].tobytes() for size in sizes},
        )
        for row, (example, _) in enumerate(views)
    ]


class Census:
    """What was written to a store, and the problems found.

    Attributes:
      splits: labels, ids, sizes and digests of the images of each split.
      channel_sums: (C, 3, 3), per class: its training images, and their means
        and mean squares summed, by channel.
      refused, repaired, doubted: id -> what about it.
      unreadable: those of `refused` that would have been in a split, each as
        id, reason, split and label.
    """

    def __init__(self, source: Source):
        self.source = source
        self.splits = {TRAIN: _Members(), VALIDATION: _Members()}
        self.channel_sums = np.zeros((len(source.class_names), 3, 3))
        self.refused: dict[str, str] = {}
        self.unreadable: list[tuple[str, str, str, int]] = []
        self.repaired: dict[str, str] = {}
        self.doubted: dict[str, str] = {}
        self.seen: dict[bytes, tuple[str, str, int]] = {}

    @property
    def count(self) -> int:
        return sum(len(split.ids) for split in self.splits.values())

    @property
    def content(self) -> str:
        return store.digest(self.source.class_names, self.splits)

    @property
    def pixels(self) -> str:
        return store.digest_pixels(self.splits)

    def add(self, examined: Examined) -> None:
        split = self.splits[examined.split]
        split.labels.append(examined.label)
        split.ids.append(examined.id)
        split.sizes.append(examined.size)
        if examined.note:
            self.repaired[examined.id] = examined.note
        split.digest_bytes += examined.digest or examined.pixels
        self._doubt(examined)
        if examined.split == TRAIN:
            # Means: a photo counts no more than a thumbnail.
            self.channel_sums[examined.label] += (1, 1, 1), *examined.means

    def refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.id] = refusal.reason
        if refusal.split is not None:
            self.unreadable.append(dataclasses.astuple(refusal))

    def _doubt(self, image: Examined) -> None:
        """Notes an image with the pixels of one in another split or class."""
        key = image.pixels
        if key not in self.seen:
            self.seen[key] = (image.id, image.split, image.label)
            return
        twin, split, label = self.seen[key]
        if split != image.split:
            self.doubted[image.id] = f"same pixels as {twin} in {split}"
        elif label != image.label:
            name = self.source.class_names[label]
            self.doubted[image.id] = f"same pixels as {twin} in {name}"

    def finish(self) -> None:
        """Raises `UserError` if a split has no images."""
        for name, split in self.splits.items():
            if not split.ids:
                refused = next(iter(self.refused.items()), ())
                why = f" (refused {': '.join(refused)})" if refused else ""
                raise UserError(
                    f"--dataset={self.source.name} has no usable {name} "
                    f"images{why}; check the folder or file that it names"
                )

    def report(self) -> dict:
        return {
            "dataset": self.source.name,
            "images": {name: len(s.ids) for name, s in self.splits.items()},
            "refused": self.refused,
            "repaired": self.repaired,
            "doubted": self.doubted,
        }


def _hash_pixels(image: np.ndarray) -> bytes:
    """Returns `DIGEST` bytes that stand for shape and pixels."""
    hashed = hashlib.blake2b(digest_size=DIGEST)
    hashed.update(np.array(image.shape, "<i8"))
    hashed.update(np.ascontiguousarray(image))
    return hashed.digest()


def _channel_means(square: np.ndarray) -> np.ndarray:
    """Returns mean and mean square of each channel, float64 (2, 3).

    Args:
      square: uint8 (side, side, 3).
    """
    side = len(square)
    sums = np.zeros((2, side * 3))
    for start in range(0, side, ROWS):
        rows = square[start : start + ROWS].reshape(-1, side * 3)
        rows = rows.astype(np.float32)
        one = np.ones(len(rows), np.float32)
        sums += one @ rows, one @ np.square(rows)
    return sums.reshape(2, side, 3).sum(axis=1) / side**2
