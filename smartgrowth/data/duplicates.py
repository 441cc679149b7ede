"""Finds images that are, nearly, in both the training and the validation set.

Normalized thumbnails are compared. So a copy that was resized, compressed again
or brightened is found; a mirrored or cropped one is not.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from PIL import Image

from smartgrowth.data.store import Split
from smartgrowth.runtime.reporter import REPORTER, Reporter

SIDE = 16  # pixels of a thumbnail
# A thumbnail with less contrast (standard deviation, of 255) counts as blank:
# all blank ones would be similar.
MIN_CONTRAST = 4.0
CHUNK = 1024  # training images at a time
CELLS = 2**24  # similarities at a time: 64 MB
# Of 1,000 images of Tiny ImageNet it finds 99% as JPEG of quality 30, 95%
# brightened by 1.3 and all shrunk from 64 to 40 px. Between 5,000 validation
# and 50,000 training images, the most similar two that are not the same
# photograph had 0.968.
THRESHOLD = 0.975
# Similarities differ by less between machines; a pair this close to the
# threshold is judged by exact arithmetic where the answer decides a run.
MARGIN = 1e-4


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The most similar training image of every validation image.

    Attributes:
      similarity: float32 (V,), the cosine, up to 1.
      index: int64 (V,), the training image.
      pairs: how many pairs reach the threshold.
    """

    similarity: np.ndarray
    index: np.ndarray
    pairs: int

    def matches(self, threshold: float = THRESHOLD) -> np.ndarray:
        """Returns validation images with a near-duplicate, closest first."""
        order = np.argsort(-self.similarity, kind="stable")
        return order[self.similarity[order] >= threshold]


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Returns vectors whose dot product is the similarity of two images.

    Args:
      images: uint8 (N, size, size, 3).

    Returns:
      float32 (N, 768) of length 1, or zeros for a nearly blank image.
    """
    centered, length = _center(images)
    blank = length < MIN_CONTRAST * np.sqrt(centered.shape[1])
    unit = centered / np.maximum(length, 1e-6).astype(np.float32)
    return np.where(blank, np.float32(0), unit)


def _center(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns thumbnails and lengths, float32 (N, 768), float64 (N, 1).

    Exact: the sums of 256 bytes, and of the squares, fit their types.
    """
    small = np.stack(
        [
            np.asarray(
                Image.fromarray(image).resize(
                    (SIDE, SIDE), Image.Resampling.BOX
                ),
                np.float32,
            )
            for image in images
        ]
    )
    # Per channel, or else any two images with the same color cast are similar.
    small -= small.mean(axis=(1, 2), keepdims=True)
    small = small.reshape(len(images), -1)
    squares = np.einsum("nk,nk->n", small, small, dtype=np.float64)
    return small, np.sqrt(squares)[:, None]


def find_nearest(
    train: Split,
    validation: Split,
    size: int,
    threshold: float = THRESHOLD,
    reporter: Reporter = REPORTER,
) -> Nearest:
    """Compares every validation image with every training image.

    It needs memory for the validation images' thumbnails, 3 kB each.

    Args:
      train, validation: the splits.
      size: of the stored images to read, in pixels.
      threshold: the cosine from which a pair counts.
      reporter: prints progress.
    """
    count = len(validation.labels)
    best = np.full(count, -1, np.float32)
    index = np.zeros(count, np.int64)
    pairs = 0
    for start, similarities in _compare(train, validation, size, reporter):
        pairs += int(np.count_nonzero(similarities >= threshold))
        nearest = similarities.argmax(axis=0)
        value = similarities[nearest, np.arange(count)]
        better = value > best
        best[better] = value[better]
        index[better] = start + nearest[better]
    return Nearest(best, index, pairs)


def find_copies(
    train: Split,
    validation: Split,
    size: int,
    threshold: float = THRESHOLD,
    reporter: Reporter = REPORTER,
) -> dict[int, int]:
    """Returns training images with a near-duplicate, and the first such one.

    The same on every machine. 50,000 training and 5,000 validation images take
    8 s of processor time, and memory as in `find_nearest`, which explains the
    arguments.
    """
    found = {}
    for start, similarities in _compare(train, validation, size, reporter):
        is_copy = similarities >= threshold
        is_close = np.abs(similarities - threshold) < MARGIN
        for row, column in np.argwhere(is_close):
            is_copy[row, column] = threshold <= _exact(
                *(
                    split.images(size)[split.rows[place]]
                    for split, place in (
                        (train, start + row),
                        (validation, column),
                    )
                )
            )
        for row in np.flatnonzero(is_copy.any(axis=1)).tolist():
            found[start + row] = int(is_copy[row].argmax())
    return found


def _exact(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the similarity of two images in exact sums, float64."""
    centered, length = _center(np.stack([one, other]))
    product = np.einsum("k,k->", *centered, dtype=np.float64)
    return float(product / length[0, 0] / length[1, 0])


def _compare(
    train: Split, validation: Split, size: int, reporter: Reporter
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the first of some training images, and their similarities.

    float32 (training images, validation images).
    """
    count = len(validation.labels)
    reporter.say(
        f"comparing {count:,} validation images with "
        f"{len(train.labels):,} training images"
    )
    wanted = _read(validation, size, np.arange(count))
    chunk = max(min(CHUNK, CELLS // count), 1)
    count_down = reporter.countdown("compared with", len(train.labels))
    for start in range(0, len(train.labels), chunk):
        places = np.arange(start, min(start + chunk, len(train.labels)))
        yield start, _read(train, size, places) @ wanted.T
        count_down(start + len(places))


def _read(split: Split, size: int, places: np.ndarray) -> np.ndarray:
    stored = split.images(size)
    parts = [
        thumbnails(stored[split.rows[places[start : start + CHUNK]]])
        for start in range(0, len(places), CHUNK)
    ]
    return np.concatenate(parts)
