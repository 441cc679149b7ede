"""Views of a batch that vote on its classes: mirrored, moved."""

import numpy as np
import tensorflow as tf


def flip_and_shift(images, flip: bool = False, shift: int = 0):
    """Images (batch, size, size, 3), their mirror images if `flip`, moved by
    `shift` pixels down and to the right, the edge reflected.
    """
    if flip:
        images = images[:, :, ::-1]
    if not shift:
        return images
    size = images.shape[1]
    place = _reflect(np.arange(size) - shift, size)
    return tf.gather(tf.gather(images, place, axis=1), place, axis=2)


def _reflect(place: np.ndarray, size: int) -> np.ndarray:
    """Positions beyond an edge mirrored back into 0 to size - 1.

    The edge's own pixel comes twice, as when training shifts images.
    """
    place = place % (2 * size)
    return np.minimum(place, 2 * size - 1 - place)
