"""Mixup and cutmix: mixes pairs of a batch's images, and their labels.

Per image, not per batch, so that one batch holds mixed and unmixed images.
"""

import tensorflow as tf

from smartgrowth.data.augment.variant import named_seed

# Weights are drawn from Beta(a, a). Zhang et al. 2018, arXiv 1710.09412, found
# 0.1 to 0.4 best on ImageNet; Yun et al. 2019, arXiv 1905.04899, use 1.
MIXUP_ALPHA = 0.2
CUTMIX_ALPHA = 1.0


def sample_mixing(mixup: float, cutmix: float, batch: int, seed) -> dict:
    """Draws which image each image of a batch is mixed with, and how.

    Args:
      mixup, cutmix: shares of the images; a share of 0 has no entry.
      batch: images in the batch.
      seed: int (2,), the batch's.

    Returns:
      "partner" int32 (batch,), a permutation. "mixup" float32 (batch,), the
      weight of the image itself, 1 without blending. "cutmix" float32
      (batch, 4): height and width of the patch, and its center's y and x, as
      fractions of the side; height 0 without a patch.
    """

    def draw(shape, name):
        return tf.random.stateless_uniform(shape, named_seed(seed, name))

    chance = draw((batch,), "share of mixing")
    order = tf.argsort(draw((batch,), "partner"))
    mixing = {"partner": order}
    if mixup:
        weight = _beta(named_seed(seed, "mixup"), batch, MIXUP_ALPHA)
        mixing["mixup"] = tf.where(chance < mixup, weight, 1.0)
    if cutmix:
        on = (chance >= mixup) & (chance < mixup + cutmix)
        weight_seed = named_seed(seed, "cutmix")
        side = tf.sqrt(1.0 - _beta(weight_seed, batch, CUTMIX_ALPHA))
        side = tf.where(on, side, 0.0)[:, tf.newaxis]
        middle = draw((batch, 2), "middle of cutmix")
        mixing["cutmix"] = tf.concat([side, side, middle], axis=1)
    return mixing


def mix(images, targets, mixing: dict):
    """Mixes images and targets as sampled.

    Args:
      images: uint8 (batch, size, size, 3).
      targets: float32 (batch, classes), a distribution over the active
        classes, -1 for the others.
      mixing: of `sample_mixing`.

    Returns:
      Images and targets, of the same shapes; absent classes keep -1.
    """
    partner = mixing["partner"]
    others = tf.gather(images, partner)
    kept = tf.ones(images.shape[0])
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
        # The label has the weight of the patch that lies within the image.
        kept *= 1.0 - _share(rows) * _share(columns)
    weight = kept[:, tf.newaxis]
    mixed = weight * targets + (1.0 - weight) * tf.gather(targets, partner)
    return images, tf.where(targets < 0, -1.0, mixed)


def _beta(seed, batch: int, alpha: float):
    """Draws float32 (batch,) from Beta(alpha, alpha)."""
    first, second = (
        tf.random.stateless_gamma((batch,), part, alpha)
        for part in tf.unstack(tf.random.split(seed, 2))
    )
    return tf.math.divide_no_nan(first, first + second)


def _patch(boxes, size: int):
    """Returns the patch's rows and columns, bool (batch, size) each."""
    height, width, y, x = tf.split(boxes, 4, axis=1)
    middles = (tf.range(size, dtype=tf.float32) + 0.5) / size
    rows = tf.abs(middles - y) < height / 2
    return rows, tf.abs(middles - x) < width / 2


def _share(on):
    return tf.reduce_mean(tf.cast(on, tf.float32), axis=1)
