"""Patches of images at their full resolution: `--grow_by=crop`."""

import tensorflow as tf

from smartgrowth.data.augment.variant import named_seed


def cut_patches(images, size: int, seed):
    """Returns a square patch of each image, at a place of its own.

    All places are equally likely, those at the borders too.

    Args:
      images: uint8 (batch, side, side, 3).
      size: of the patches in pixels, at most `side`.
      seed: int (2,), the batch's.

    Returns:
      uint8 (batch, size, size, 3).
    """
    batch, side = images.shape[:2]
    corners = tf.random.stateless_uniform(
        (2, batch, 1),
        named_seed(seed, "corner of a patch"),
        maxval=side - size + 1,
        dtype=tf.int32,
    )
    rows, columns = tf.unstack(corners + tf.range(size))
    strips = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(strips, columns, axis=2, batch_dims=1)
