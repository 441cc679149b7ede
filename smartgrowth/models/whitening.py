"""A fixed first convolution that whitens the images' patches.

Its filters are the principal components of patches of the training images, and
their negatives, so that a ReLU keeps both signs; the batch norm behind it
scales each to a variance of one. It is not trained (Jordan 2024, 2404.00498,
with 2x2 patches).
"""

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.models.keras_layers import channel_statistics

IMAGES, CHUNK = 2048, 128  # read at most; at once


def whiten(model: keras.Model, images: np.ndarray, rows: np.ndarray) -> None:
    """Sets the filters of a network's first convolution, and freezes them.

    Filters beyond two a component keep their random values.

    Args:
      model: built, of raw RGB images, not compiled yet.
      images: uint8 (N, size, size, 3).
      rows: of the training images among them, int64; evenly spaced ones are
        read.

    Raises:
      UserError: the network does not begin with a convolution of the image.
    """
    first = model.layers[2]
    if not isinstance(first, keras.layers.Conv2D) or first.groups > 1:
        raise UserError(
            f"--whiten: --model={model.name} does not begin with a "
            "convolution; leave it out"
        )
    kernel = keras.ops.convert_to_numpy(first.kernel)
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), IMAGES), dtype=int)]
    mean, variance = map(np.array, channel_statistics(model))
    components = principal_components(
        ((images[part] - mean) / np.sqrt(variance) for part in _chunks(few)),
        kernel.shape[:2],
    )
    count = min(len(components), kernel.shape[-1] // 2)
    # Of the length that random filters have.
    size = np.sqrt(2.0)
    for place, sign in ((0, 1.0), (count, -1.0)):
        chosen = components[:count].transpose(1, 2, 3, 0)
        kernel[..., place : place + count] = sign * size * chosen
    first.kernel.assign(kernel)
    first.trainable = False
    first.group = None  # for good


def principal_components(chunks, window: tuple[int, int]) -> np.ndarray:
    """Returns the principal components of all patches, the strongest first.

    Args:
      chunks: iterable of float (n, height, width, channels).
      window: height and width of a patch.

    Returns:
      float64 (k, *window, channels) of length 1, k their number of elements;
      the sign of each is such that its largest element is positive.
    """
    total = 0.0
    for images in chunks:
        patches = np.lib.stride_tricks.sliding_window_view(
            images, window, axis=(1, 2)
        )
        shape = (*window, images.shape[-1])
        flat = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, np.prod(shape))
        total = total + flat.T @ flat
    vectors = np.linalg.eigh(total)[1].T[::-1]
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(np.take_along_axis(vectors, largest[:, None], axis=1))
    return (vectors * signs).reshape(-1, *shape)


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(len(rows) // CHUNK, 1))
