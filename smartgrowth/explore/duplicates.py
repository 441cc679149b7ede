"""Finds validation images with a near-duplicate in the training set.

Normalized thumbnails are compared. So a copy that was resized, compressed again
or brightened is found; a mirrored or cropped one is not.
"""

import dataclasses

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
    length = np.linalg.norm(small, axis=1, keepdims=True)
    blank = length < MIN_CONTRAST * np.sqrt(small.shape[1])
    return np.where(blank, 0, small / np.maximum(length, 1e-6))


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
    reporter.say(
        f"comparing {count:,} validation images with "
        f"{len(train.labels):,} training images"
    )
    wanted = _read(validation, size, np.arange(count))
    best = np.full(count, -1, np.float32)
    index = np.zeros(count, np.int64)
    pairs = 0
    chunk = max(min(CHUNK, CELLS // count), 1)
    count_down = reporter.countdown("compared with", len(train.labels))
    for start in range(0, len(train.labels), chunk):
        places = np.arange(start, min(start + chunk, len(train.labels)))
        similarities = _read(train, size, places) @ wanted.T
        pairs += int(np.count_nonzero(similarities >= threshold))
        nearest = similarities.argmax(axis=0)
        value = similarities[nearest, np.arange(count)]
        better = value > best
        best[better] = value[better]
        index[better] = start + nearest[better]
        count_down(start + len(places))
    return Nearest(best, index, pairs)


def _read(split: Split, size: int, places: np.ndarray) -> np.ndarray:
    stored = split.images(size)
    parts = [
        thumbnails(stored[split.rows[places[start : start + CHUNK]]])
        for start in range(0, len(places), CHUNK)
    ]
    return np.concatenate(parts)
