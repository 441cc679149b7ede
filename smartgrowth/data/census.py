"""Counts what is written to a store, and finds what is wrong with it."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import store
from smartgrowth.data.resize import central_square, fit_squares, scaled_side
from smartgrowth.data.sources import decode
from smartgrowth.data.store import TRAIN, VALIDATION, Source

PART = 2**20  # bytes of images of one shape that are resized together
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
        return flat.reshape(-1, store.DIGEST)


class Examined(NamedTuple):
    """What a store needs of an image.

    id, split, label, note, digest: as in `Example`. size: its height and
    width. pixels: `store.DIGEST` bytes that stand for them. means: mean and
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
    examples: Sequence[store.Encoded | store.Example | store.Refusal],
    sizes: Sequence[int],
) -> list[Examined | store.Refusal]:
    """Returns what a store needs of each example; refusals as they are.

    A JPEG is decoded at a fraction where its sides are many times `sizes`.
    Then its means are of that too, and so are the pixels that are compared.

    Args:
      examples: images of one shape in a row are resized together.
      sizes: to be stored, in pixels.
    """
    found = []
    alike = []  # images of one shape that are not in `found` yet
    for given in examples:
        example, views = _decode(given, sizes)
        if alike and (
            isinstance(example, store.Refusal)
            or views
            or _shapes(example) != _shapes(alike[0])
            or len(alike) * example.image.nbytes > PART
        ):
            found += _examine_alike(alike, {}, sizes)
            alike = []
        if isinstance(example, store.Refusal):
            found.append(example)
        elif views:
            found += _examine_alike([example], views, sizes)
        else:
            alike.append(example)
    return found + (_examine_alike(alike, {}, sizes) if alike else [])


def _shapes(example: store.Example) -> tuple:
    return example.image.shape, example.size


def _decode(given, sizes: Sequence[int]) -> tuple:
    """Returns an example or a refusal, and larger images for some sizes."""
    if not isinstance(given, store.Encoded):
        return given, {}
    fields = given.id, given.split, given.label, given.content, given.expected
    example = decode.decode_example(*fields, scaled_side(1))
    if isinstance(example, store.Refusal):
        return example, {}
    views = {}
    if example.size not in (None, example.image.shape[:2]):
        for shortest in sorted({scaled_side(size) for size in sizes}):
            if shortest > scaled_side(1):
                larger = decode.decode_example(*fields, shortest)
                if isinstance(larger, store.Refusal):
                    return larger, {}
                views[shortest] = larger.image
    return example, views


def _examine_alike(
    examples: Sequence[store.Example],
    views: Mapping[int, np.ndarray],
    sizes: Sequence[int],
) -> list[Examined]:
    """Returns what a store needs of images of one shape.

    Args:
      examples: with their images.
      views: shorter side -> a larger image of the only example.
      sizes: to be stored, in pixels.
    """
    if len(examples) == 1:
        images = examples[0].image[None]
    else:
        images = np.stack([example.image for example in examples])
    full = examples[0].size or images.shape[1:3]
    squares = {}
    for size in sizes:
        view = views.get(scaled_side(size))
        stack = images if view is None else view[None]
        whole = stack.shape[1:3] == tuple(full)
        squares[size] = fit_squares(stack, size, None if whole else full)
    means = _channel_means(central_square(images))
    return [
        Examined(
            example.id,
            example.split,
            example.label,
            example.note,
            example.digest,
            full,
            _hash_pixels(example.image),
            means[row],
            {size: squares[size][row].tobytes() for size in sizes},
        )
        for row, example in enumerate(examples)
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

    def refuse(self, refusal: store.Refusal) -> None:
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
    """Returns `store.DIGEST` bytes that stand for shape and pixels."""
    hashed = hashlib.blake2b(digest_size=store.DIGEST)
    hashed.update(np.array(image.shape, "<i8"))
    hashed.update(np.ascontiguousarray(image))
    return hashed.digest()


def _channel_means(squares: np.ndarray) -> np.ndarray:
    """Returns mean and mean square of each channel, float64 (N, 2, 3).

    Args:
      squares: uint8 (N, side, side, 3).
    """
    count, side = squares.shape[:2]
    sums = np.zeros((2, count, side * 3))
    for start in range(0, side, ROWS):
        rows = squares[:, start : start + ROWS].astype(np.float32)
        rows = rows.reshape(count, -1, side * 3)
        sums += rows.sum(axis=1), np.square(rows).sum(axis=1)
    sums = sums.reshape(2, count, side, 3).sum(axis=2)
    return sums.swapaxes(0, 1) / side**2
