"""Counts what is written to a store, and finds what is wrong with it."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import store
from smartgrowth.data.store import TRAIN, VALIDATION, Source

PART = 2**20  # pixels whose sums are taken at once, for 12 MB of memory


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


@dataclasses.dataclass(frozen=True)
class Examined:
    """An example without its pixels, and what a store needs of them.

    size: height and width. pixels: `store.DIGEST` bytes that stand for them.
    means: mean and mean square of each channel of the central square, float64
    (3,) each. squares: image size -> uint8 (size, size, 3).
    """

    example: store.Example
    size: tuple[int, int]
    pixels: bytes
    means: tuple[np.ndarray, np.ndarray]
    squares: Mapping[int, np.ndarray]


def examine(
    example: store.Example | store.Refusal, sizes: Sequence[int]
) -> Examined | store.Refusal:
    """Returns what a store needs of an example; a refusal as it is.

    Args:
      example: with its image.
      sizes: to be stored, in pixels.
    """
    if isinstance(example, store.Refusal):
        return example
    image = example.image
    return Examined(
        dataclasses.replace(example, image=None),
        image.shape[:2],
        _hash_pixels(image),
        _channel_means(store.central_square(image)),
        {size: store.fit_square(image, size) for size in sizes},
    )


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

    def add(self, examined: "Examined") -> None:
        example = examined.example
        split = self.splits[example.split]
        split.labels.append(example.label)
        split.ids.append(example.id)
        split.sizes.append(examined.size)
        if example.note:
            self.repaired[example.id] = example.note
        split.digest_bytes += example.digest or examined.pixels
        self._doubt(example, examined.pixels)
        if example.split == TRAIN:
            # Means: a photo counts no more than a thumbnail.
            sums = np.ones(3), *examined.means
            self.channel_sums[example.label] += sums

    def refuse(self, refusal: store.Refusal) -> None:
        self.refused[refusal.id] = refusal.reason
        if refusal.split is not None:
            self.unreadable.append(dataclasses.astuple(refusal))

    def _doubt(self, example: store.Example, key: bytes) -> None:
        """Notes an image with the pixels of one in another split or class."""
        if key not in self.seen:
            self.seen[key] = (example.id, example.split, example.label)
            return
        twin, split, label = self.seen[key]
        if split != example.split:
            self.doubted[example.id] = f"same pixels as {twin} in {split}"
        elif label != example.label:
            name = self.source.class_names[label]
            self.doubted[example.id] = f"same pixels as {twin} in {name}"

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


def _channel_means(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and mean square of each channel, float64 (3,) each."""
    total, squares = np.zeros(3), np.zeros(3)
    pixels = image.reshape(-1, 3)
    for start in range(0, len(pixels), PART):
        part = pixels[start : start + PART]
        exact = part.astype(np.float32)
        total += part.sum(axis=0, dtype=np.int64)
        squares += np.einsum("nc,nc->c", exact, exact, dtype=np.float64)
    return total / len(pixels), squares / len(pixels)
