"""Batches as a pure function of (seed, stage, step), through tf.data.

No shuffle buffer, no iterator to save: a dataset that begins at any step shows
exactly the batches that an uninterrupted one would have shown there.
"""

import numpy as np
import tensorflow as tf

from smartgrowth.data import augment
from smartgrowth.data.store import Data, Split
from smartgrowth.plan import Stage

NO_AUGMENTATION = augment.Augmentation()


def make_dataset(
    data: Data,
    stage: Stage,
    images: np.ndarray,
    classes: np.ndarray,
    *,
    first_step: int,
    last_step: int,
    seed: int,
    augmentation: augment.Augmentation = NO_AUGMENTATION,
    label_smoothing: float = 0.0,
) -> tf.data.Dataset:
    """The training batches of steps first_step..last_step - 1 of a stage.

    Args:
      images: indices into `data.train`, (stage.num_images,): what the stage
        shows, once in every pass, in an order of that pass's own.
      classes: labels that have entered.
      first_step, last_step: steps of the run, within the stage.
      augmentation: what is done to them, at the stage's strength.
      label_smoothing: share of a label spread over the entered classes.

    Yields:
      Images uint8 (batch, size, size, 3); targets float32 (batch, classes),
      a distribution over the classes that have entered, -1 for the others.
    """
    count, batch = len(images), stage.batch_size
    stored = data.stored_size(stage.image_size)
    pictures = _borrow(data.train.images(stored))
    rows = tf.constant(data.train.rows[images], tf.int64)
    labels = tf.constant(data.train.labels[images], tf.int32)
    targets = tf.constant(
        make_targets(len(data.class_names), classes, label_smoothing)
    )
    offset = tf.range(batch, dtype=tf.int64)

    def make_batch(step):
        position = (step - stage.first_step) * batch + offset
        drawn_pass, place = position // count, position % count
        index = _permute(place, count, (seed, stage.index), drawn_pass)
        shown = tf.gather(pictures, tf.gather(rows, index))
        shown = enlarge(shown, stage.image_size)
        return augment.augment(
            shown,
            tf.gather(targets, tf.gather(labels, index)),
            augmentation,
            stage.augmentation,
            tf.stack([tf.constant(seed, tf.int64), step]),
        )

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(make_batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def make_validation(
    data: Data, split: Split, size: int, batch: int
) -> tf.data.Dataset:
    """All images of a split, in order, unaugmented, uint8 batches.

    Every batch is full, so that one compiled function serves all: the last one
    repeats the split's last image, and its surplus is for the caller to cut.
    """
    pictures = _borrow(split.images(data.stored_size(size)))
    rows = tf.constant(split.rows, tf.int64)
    count = len(split.rows)

    def make_batch(index):
        position = index * batch + tf.range(batch, dtype=tf.int64)
        position = tf.minimum(position, count - 1)
        return enlarge(tf.gather(pictures, tf.gather(rows, position)), size)

    return (
        tf.data.Dataset.range(-(-count // batch))
        .map(make_batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def make_targets(
    num_classes: int, entered: np.ndarray, smoothing: float
) -> np.ndarray:
    """Row k is the target of label k, float32 (num_classes, num_classes).

    Smoothing spreads over the entered classes alone; absent ones are -1.
    """
    targets = np.full((num_classes, num_classes), -1.0, np.float32)
    targets[:, entered] = smoothing / len(entered)
    targets[entered, entered] += 1.0 - smoothing
    return targets


def _borrow(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor over the same memory, so that a mapped file stays
    one: pages come in as they are read.
    """
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _permute(place, count: int, key: tuple[int, int], drawn_pass):
    """A random permutation of range(count) for every pass, without a table.

    The raw op, since the public wrapper mis-pads batched seeds.
    """
    ones = tf.ones_like(place)
    seeds = [ones * (key[0] + 1), ones * (key[1] + 1), drawn_pass]
    return tf.raw_ops.RandomIndexShuffle(
        index=place,
        seed=tf.stack(seeds, axis=1),
        max_index=ones * (count - 1),
    )


def enlarge(images, size: int):
    """Images at `size`; the store keeps none above the originals' size."""
    if images.shape[1] == size:
        return images
    images = tf.image.resize(images, (size, size))
    return tf.saturate_cast(tf.round(images), tf.uint8)
