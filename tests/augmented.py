"""Batches as a training sees them, for tests."""

import tensorflow as tf

from smartgrowth.data.augment import policy


def augmented_batches(
    images, targets, augmentation, first, last, strength=1.0
) -> list:
    """The same images and targets in steps first to last - 1, augmented.

    Within tf.data, as (images, targets) in NumPy.
    """

    def augmented(step):
        return policy.augment(
            tf.constant(images),
            tf.constant(targets),
            augmentation,
            strength,
            tf.stack([tf.constant(3, tf.int64), step]),
        )

    dataset = tf.data.Dataset.range(first, last).map(
        augmented, num_parallel_calls=2
    )
    return list(dataset.as_numpy_iterator())
