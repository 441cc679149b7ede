"""Batches as a pure function of (seed, stage, step), through tf.data.

No shuffle buffer, no iterator to save: a dataset that begins at any step shows
exactly the batches that an uninterrupted one would have shown there.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from smartgrowth.data.augment import policy
from smartgrowth.data.crop import cut_patches
from smartgrowth.data.store import Data, Split
from smartgrowth.stages import Stage

NO_AUGMENTATION = policy.Augmentation()
# Of the cipher that permutes a pass. With its default of 4, orders of passes,
# stages and seeds are not independent: 50,000 images were at nearly the same
# places in the next pass (correlation 0.76; 0.91 with 60,000). With 8, nothing
# but chance is left from 10,000 images to 100,000.
ROUNDS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Activations:
    """What frozen layers make of training images, shown instead of those.

    values: (images, ...), of `dtype`, or its bits as uint16 for bfloat16.
    rows: int64 (all training images,), the place of each among them.
    """

    values: np.ndarray
    rows: np.ndarray
    dtype: str


def make_batches(
    data: Data,
    stage: Stage,
    images: np.ndarray,
    classes: np.ndarray,
    *,
    seed: int,
    augmentation: policy.Augmentation = NO_AUGMENTATION,
    label_smoothing: float = 0.0,
    hard: np.ndarray | None = None,
    balanced: bool = False,
    activations: Activations | None = None,
    cut_from: int | None = None,
) -> Callable[[int, int], tf.data.Dataset]:
    """Returns what makes datasets of a stage's training batches.

    What a step does is traced once, however many datasets are made. Where
    images are mirrored, none is shown mirrored twice in a row within the stage
    and, at full strength, none in the same pose (Jordan 2024, 2404.00498).

    Args:
      images: indices into `data.train`: what the stage shows, each as often
        as it is named in every pass, in an order of that pass's own.
      classes: labels of the active classes.
      augmentation: what is done to them, at the stage's strength.
      label_smoothing: share of a label spread over the active classes.
      hard: indices of images from which `stage.replay` of every batch is
        drawn instead, in passes of their own.
      balanced: whether a pass shows every class equally often: as often as the
        one with the most of `images`.
      activations: shown as they are instead of the images.
      cut_from: side of the images from which the stage's are cut, in pixels;
        whole images are resized unless given.

    Returns:
      (first_step, last_step) -> dataset of the batches of the run's steps
      first_step..last_step - 1, all within the stage: images uint8 (batch,
      size, size, 3), of one of the stage's sizes; targets float32 (batch,
      classes), a distribution over the active classes, -1 for the others.
    """
    batch, sizes = stage.batch_size, sorted(set(stage.sizes))
    groups = [images]
    if balanced:
        of_image = data.train.labels[images]
        groups = [images[of_image == label] for label in np.unique(of_image)]
    rows = tf.constant(data.train.rows, tf.int64)
    labels = tf.constant(data.train.labels, tf.int32)
    targets = tf.constant(
        make_targets(len(data.class_names), classes, label_smoothing)
    )
    # The pose in which the stage first shows an image.
    noise = np.random.default_rng([seed, 5, stage.index])
    mirrored_first = tf.constant(noise.integers(2, size=len(labels)), tf.int64)

    def draw(step):
        """Which images the batch shows, and how often each was shown before
        in the stage, int64 (batch,) both.
        """
        step -= stage.first_step
        place = tf.range(batch, dtype=tf.int64)
        key = (seed, stage.index)
        if hard is None or not len(hard) or not stage.replay:
            return _draw(groups, step * batch + place, key)
        before = _share(step, batch, stage.replay)
        count = _share(step + 1, batch, stage.replay) - before
        others = step * batch - before + place - count
        replayed = _draw([hard], before + place, key, apart=True)
        ordinary = _draw(groups, tf.maximum(others, 0), key)
        return [
            tf.where(place < count, a, b)
            for a, b in zip(replayed, ordinary, strict=True)
        ]

    def make_batch_of_activations():
        values = _borrow(activations.values)
        row_of = tf.constant(activations.rows, tf.int64)

        @tf.function(
            input_signature=[tf.TensorSpec((), tf.int64)], autograph=False
        )
        def make_batch(step):
            index, _ = draw(step)
            shown = tf.gather(values, tf.gather(row_of, index))
            if shown.dtype != activations.dtype:
                shown = tf.bitcast(shown, activations.dtype)
            return shown, tf.gather(targets, tf.gather(labels, index))

        return make_batch

    def make_batch_of(size):
        side = cut_from or size
        pictures = _borrow(data.train.images(data.stored_size(side)))

        # AutoGraph would rewrite the program's own code, which asks tensors
        # for nothing, in 1.7 s of processor time; layers may need it.
        @tf.function(
            input_signature=[tf.TensorSpec((), tf.int64)],
            autograph=bool(augmentation.stock),
        )
        def make_batch(step):
            index, times = draw(step)
            shown = enlarge(tf.gather(pictures, tf.gather(rows, index)), side)
            batch_seed = tf.stack([tf.constant(seed, tf.int64), step])
            if side != size:
                shown = cut_patches(shown, size, batch_seed)
            turn = times + tf.gather(mirrored_first, index)
            return policy.augment(
                shown,
                tf.gather(targets, tf.gather(labels, index)),
                augmentation,
                stage.augmentation,
                batch_seed,
                mirrored=turn % 2 == 1,
            )

        return make_batch

    # A function a size, so that the shapes of each are static.
    functions = [
        make_batch_of_activations() if activations else make_batch_of(size)
        for size in sizes
    ]

    def dataset(first_step, last_step):
        steps = np.arange(first_step, last_step)
        shown_sizes = sizes_of(stage, seed, steps)
        datasets = [
            tf.data.Dataset.from_tensor_slices(steps[shown_sizes == size]).map(
                make_batch, num_parallel_calls=tf.data.AUTOTUNE
            )
            for size, make_batch in zip(sizes, functions, strict=True)
        ]
        if len(datasets) == 1:
            return datasets[0].prefetch(2)
        turns = np.searchsorted(sizes, shown_sizes)
        turns = tf.data.Dataset.from_tensor_slices(turns)
        mixed = tf.data.Dataset.choose_from_datasets(datasets, turns)
        count = tf.data.experimental.assert_cardinality(len(steps))
        return mixed.apply(count).prefetch(2)

    return dataset


def sizes_of(stage: Stage, seed: int, steps: np.ndarray) -> np.ndarray:
    """The image size of each batch, by the run's steps, in pixels.

    Within every len(stage.sizes) steps each comes once, in a random order, so
    that the shares and the cost are exact.
    """
    sizes = np.array(stage.sizes)
    if len(set(stage.sizes)) == 1:
        return np.full(len(steps), sizes[0])
    block, place = np.divmod(steps - stage.first_step, len(sizes))
    orders = {
        number: np.random.default_rng(
            [seed, 3, stage.index, number]
        ).permutation(sizes)
        for number in np.unique(block)
    }
    return np.array([orders[b][p] for b, p in zip(block, place, strict=True)])


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

    @tf.autograph.experimental.do_not_convert
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
    num_classes: int, active: np.ndarray, smoothing: float
) -> np.ndarray:
    """Row k is the target of label k, float32 (num_classes, num_classes).

    Smoothing spreads over the active classes alone; absent ones are -1.
    """
    targets = np.full((num_classes, num_classes), -1.0, np.float32)
    targets[:, active] = smoothing / len(active)
    targets[active, active] += 1.0 - smoothing
    return targets


def _borrow(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor over the same memory, so that a mapped file stays
    one: pages come in as they are read.
    """
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _draw(groups: Sequence[np.ndarray], position, key, apart: bool = False):
    """Images at positions of an endless stream: pass after pass, each pass in
    an order of its own; and how often each was shown before. apart: in orders
    independent of another stream's.

    A pass shows every group as often as the largest one has images. A smaller
    one goes on in the next pass where it stopped: over any number of passes,
    counts of two of its images differ by at most one.
    """
    lengths = np.array([len(group) for group in groups], np.int64)
    starts, most = np.cumsum(lengths) - lengths, int(lengths.max())
    count = len(groups) * most
    drawn_pass = position // count
    order = -1 - drawn_pass if apart else drawn_pass
    slot = _permute(position % count, count, key, order)
    group, turn = slot // most, drawn_pass * most + slot % most
    length = tf.gather(lengths, group)
    index = tf.gather(starts, group) + turn % length
    images = tf.constant(np.concatenate(groups), tf.int64)
    return tf.gather(images, index), turn // length


def _share(step, batch: int, fraction: float):
    """How many of the images of the first `step` batches are a fraction of
    them, whole ones: no batch is further off than one image.
    """
    parts = 1_000_000
    return step * batch * round(fraction * parts) // parts


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
        rounds=ROUNDS,
    )


def enlarge(images, size: int):
    """Images at `size`; the store keeps none above the originals' size."""
    if images.shape[1] == size:
        return images
    images = tf.image.resize(images, (size, size))
    return tf.saturate_cast(tf.round(images), tf.uint8)
