"""Statistics of pixels: color, brightness, and images without color."""

import numpy as np

from smartgrowth.data.store import Split

CHUNK = 1024  # images at a time
SAMPLE = 2000  # images in the histograms
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def sample(split: Split, size: int, seed: int) -> np.ndarray:
    """Returns random images, uint8 (N, size, size, 3), N up to `SAMPLE`."""
    count = len(split.labels)
    random = np.random.default_rng([seed, 11])
    chosen = random.choice(count, min(count, SAMPLE), replace=False)
    return split.images(size)[split.rows[np.sort(chosen)]]


def histogram(images: np.ndarray) -> np.ndarray:
    """Returns counts of each pixel value, int64 (3, 256): red, green, blue."""
    return np.stack(
        [
            np.bincount(images[..., channel].ravel(), minlength=256)
            for channel in range(3)
        ]
    )


def brightness(images: np.ndarray) -> np.ndarray:
    """Returns the mean luma of each image, float32 (N,), 0 to 255."""
    return images.reshape(len(images), -1, 3).mean(axis=1) @ LUMA


def grayscale(split: Split, size: int) -> np.ndarray:
    """Returns which images have no color: red, green and blue are equal.

    Args:
      split: training or validation images.
      size: of the stored images to read, in pixels.

    Returns:
      bool (N,).
    """
    stored = split.images(size)
    gray = np.zeros(len(split.rows), bool)
    for start in range(0, len(gray), CHUNK):
        part = stored[split.rows[start : start + CHUNK]]
        first = part[..., :1]
        gray[start : start + CHUNK] = (part[..., 1:] == first).all((1, 2, 3))
    return gray
