"""Mixup and cutmix: two images of a batch in one, and their labels with them.

Per image, not per batch, so that one batch holds mixed and unmixed images.
"""

import tensorflow as tf

# Weights are drawn from Beta(a, a). Zhang et al. 2018, arXiv 1710.09412, found
# 0.1 to 0.4 best on ImageNet; Yun et al. 2019, arXiv 1905.04899, use 1.
MIXUP_ALPHA = 0.2
CUTMIX_ALPHA = 1.0


def sample_mixing(mixup: float, cutmix: float, batch: int, seed) -> dict:
    """Draws with what each image of a batch is mixed, and how.

    Args:
      mixup, cutmix: the shares of the images; a share of 0 has no entries.

    Returns:
      "partner" int32 (batch,), a permutation; "mixup" float32 (batch,), the
      weight that an image keeps, 1 where it is not blended; "cutmix" float32
      (batch, 4): height, width, and the middle's y and x, of the patch as
      fractions of the side, height 0 where there is none.
    """
    seeds = tf.random.split(seed, 5)
    chance = tf.random.stateless_uniform((batch,), seeds[0])
    order = tf.argsort(tf.random.stateless_uniform((batch,), seeds[1]))
    mixing = {"partner": order}
    if mixup:
        weight = _beta(seeds[2], batch, MIXUP_ALPHA)
        mixing["mixup"] = tf.where(chance < mixup, weight, 1.0)
    if cutmix:
        on = (chance >= mixup) & (chance < mixup + cutmix)
        side = tf.sqrt(1.0 - _beta(seeds[3], batch, CUTMIX_ALPHA))
        side = tf.where(on, side, 0.0)[:, tf.newaxis]
        middle = tf.random.stateless_uniform((batch, 2), seeds[4])
        mixing["cutmix"] = tf.concat([side, side, middle], axis=1)
    return mixing


def mix(images, targets, mixing: dict):
    """Mixes images and targets as sampled.

    Args:
      images: uint8 (batch, size, size, 3).
      targets: float32 (batch, classes), a distribution over the active
        classes, -1 for the others; the same in what is returned.
    """
    partner = mixing["partner"]
    others = tf.gather(images, partner)
    kept = tf.ones(len(images))
    if "mixup" in mixing:
        kept = mixing["mixup"]
        weight = kept[:, tf.newaxis, tf.newaxis, tf.newaxis]
        own, other = tf.cast(images, tf.float32), tf.cast(others, tf.float32)
        blended = tf.round(other + weight * (own - other))
        images = tf.cast(blended, tf.uint8)
    if "cutmix" in mixing:
        rows, columns = _patch(mixing["cutmix"], images.shape[1])
        inside = rows[:, :, tf.newaxis] & tf.repeat(columns, 3, axis=1)[:, None]
        patched = tf.where(
            inside,
            tf.reshape(others, inside.shape),
            tf.reshape(images, inside.shape),
        )
        images = tf.reshape(patched, images.shape)
        # What is seen, at the image's edges too, is what is paid.
        kept *= 1.0 - _share(rows) * _share(columns)
    weight = kept[:, tf.newaxis]
    mixed = weight * targets + (1.0 - weight) * tf.gather(targets, partner)
    return images, tf.where(targets < 0, -1.0, mixed)


def _beta(seed, batch: int, alpha: float):
    """Float32 (batch,) of Beta(alpha, alpha)."""
    first, second = (
        tf.random.stateless_gamma((batch,), part, alpha)
        for part in tf.unstack(tf.random.split(seed, 2))
    )
    return tf.math.divide_no_nan(first, first + second)


def _patch(boxes, size: int):
    """Whose rows and columns are the other image's, bool (batch, size)."""
    height, width, y, x = tf.split(boxes, 4, axis=1)
    middles = (tf.range(size, dtype=tf.float32) + 0.5) / size
    rows = tf.abs(middles - y) < height / 2
    return rows, tf.abs(middles - x) < width / 2


def _share(on):
    return tf.reduce_mean(tf.cast(on, tf.float32), axis=1)
