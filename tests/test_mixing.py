"""Mixup and cutmix: two images in one, labels in the same proportion."""

import numpy as np
import pytest
import tensorflow as tf

from smartgrowth.data import pipeline
from smartgrowth.data.augment import mixing
from smartgrowth.data.augment.policy import Augmentation, augment
from smartgrowth.optim import losses

SIZE, BATCH = 16, 6
PARTNER = np.array([2, 0, 1, 3, 5, 4])


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def targets():
    """Smoothed, of the classes 0, 2 and 3 of five."""
    table = pipeline.make_targets(5, np.array([0, 2, 3]), 0.1)
    return table[[0, 2, 3, 0, 2, 3]]


def mix(images, targets, **mixing_of):
    mixed = mixing.mix(
        tf.constant(images),
        tf.constant(targets),
        {"partner": tf.constant(PARTNER)}
        | {name: tf.constant(v, tf.float32) for name, v in mixing_of.items()},
    )
    return [part.numpy() for part in mixed]


def mixed_labels(targets, kept):
    kept = np.float32(kept)[:, None]
    expected = kept * targets + (1 - kept) * targets[PARTNER]
    return np.where(targets < 0, -1, expected)


def test_mixup_blends_images_and_labels_by_one_weight(images, targets):
    kept = [1.0, 0.5, 0.25, 0.0, 0.9, 0.7]
    shown, labels = mix(images, targets, mixup=kept)
    weight = np.reshape(kept, (-1, 1, 1, 1))
    expected = weight * images + (1 - weight) * images[PARTNER]
    assert shown.dtype == np.uint8
    assert np.abs(shown - expected).max() < 0.501
    np.testing.assert_array_equal(shown[0], images[0])
    np.testing.assert_allclose(labels, mixed_labels(targets, kept), rtol=1e-6)


def test_cutmix_pays_for_the_pixels_that_are_seen(images, targets):
    """The first patch lies a quarter within the image; the last is none."""
    boxes = [
        [0.5, 0.5, 0.0, 0.0],
        [0.5, 0.25, 0.5, 0.5],
        [1.0, 1.0, 0.5, 0.5],
        [0.5, 0.5, 1.0, 0.5],
        [0.25, 1.0, 0.25, 0.5],
        [0.0, 0.0, 0.3, 0.7],
    ]
    rows = [(0, 4), (4, 12), (0, 16), (12, 16), (2, 6), (0, 0)]
    columns = [(0, 4), (6, 10), (0, 16), (4, 12), (0, 16), (0, 0)]
    shown, labels = mix(images, targets, cutmix=boxes)
    expected, kept = images.copy(), []
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        where = (number, slice(*row), slice(*column))
        expected[where] = images[PARTNER][where]
        kept.append(1 - np.ptp(row) * np.ptp(column) / SIZE**2)
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_allclose(labels, mixed_labels(targets, kept), rtol=1e-6)


def test_absent_classes_stay_exactly_absent_and_the_rest_a_distribution(
    images, targets
):
    for number in range(50):
        drawn = mixing.sample_mixing(0.5, 0.5, BATCH, tf.constant([1, number]))
        _, labels = (
            part.numpy() for part in mixing.mix(images, targets, drawn)
        )
        assert labels.dtype == np.float32
        assert (labels[:, [1, 4]] == -1).all()
        np.testing.assert_allclose(
            labels[:, [0, 2, 3]].sum(axis=1), 1, rtol=1e-6
        )
        assert (labels[:, [0, 2, 3]] > 0).all()


def test_an_image_that_is_not_mixed_keeps_its_pixels_and_label(images, targets):
    drawn = mixing.sample_mixing(0.2, 0.2, BATCH, tf.constant([0, 3]))
    shown, labels = mixing.mix(images, targets, drawn)
    alone = (drawn["mixup"].numpy() == 1) & (drawn["cutmix"].numpy()[:, 0] == 0)
    assert 0 < alone.sum() < BATCH
    np.testing.assert_array_equal(shown[alone], images[alone])
    np.testing.assert_array_equal(labels[alone], targets[alone])


@pytest.mark.parametrize("shares", [(0.3, 0.0), (0.0, 0.4), (0.25, 0.35)])
def test_the_shares_are_of_images_and_never_of_the_same(shares):
    mixup, cutmix = shares
    drawn = mixing.sample_mixing(*shares, 10_000, tf.constant([4, 5]))
    blended = patched = np.zeros(10_000, bool)
    if mixup:
        # Beta(0.2, 0.2) has its weight near 0 and 1: some round to 1.
        blended = drawn["mixup"].numpy() < 1
        assert 0.85 * mixup < blended.mean() < mixup + 0.02
    if cutmix:
        patched = drawn["cutmix"].numpy()[:, 0] > 0
        assert patched.mean() == pytest.approx(cutmix, abs=0.02)
    assert not (blended & patched).any()
    assert set(drawn) == {
        "partner",
        *(["mixup"] if mixup else []),
        *(["cutmix"] if cutmix else []),
    }
    np.testing.assert_array_equal(np.sort(drawn["partner"]), np.arange(10_000))


def test_weights_are_of_their_beta_distributions():
    drawn = mixing.sample_mixing(1.0, 0.0, 10_000, tf.constant([4, 5]))
    weight = drawn["mixup"].numpy()
    assert 0 <= weight.min() <= weight.max() <= 1
    assert weight.mean() == pytest.approx(0.5, abs=0.02)
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert weight.var() == pytest.approx(1 / 5.6, abs=0.005)
    drawn = mixing.sample_mixing(0.0, 1.0, 10_000, tf.constant([4, 5]))
    height, width, y, x = drawn["cutmix"].numpy().T
    np.testing.assert_array_equal(height, width)
    area = height**2  # uniform: Beta(1, 1)
    assert area.mean() == pytest.approx(0.5, abs=0.02)
    assert area.var() == pytest.approx(1 / 12, abs=0.005)
    for middle in (y, x):
        assert 0 <= middle.min() <= middle.max() < 1
        assert middle.mean() == pytest.approx(0.5, abs=0.02)


def test_the_stage_s_strength_scales_the_shares():
    images = np.zeros((500, 4, 4, 3), np.uint8)
    images[::2] = 255
    targets = np.eye(2, dtype=np.float32)[np.arange(500) % 2]
    changed = {}
    for strength in (0.0, 0.5, 1.0):
        _, labels = augment(
            images,
            targets,
            Augmentation(cutmix=0.8),
            strength,
            tf.constant([2, 2]),
        )
        # Half of the partners are of the same class.
        changed[strength] = (np.asarray(labels) != targets).any(axis=1).mean()
    assert changed[0.0] == 0
    assert changed[0.5] == pytest.approx(0.2, abs=0.06)
    assert changed[1.0] == pytest.approx(0.4, abs=0.06)


def test_the_accuracy_of_a_mixed_image_is_the_named_class_s_weight():
    targets = pipeline.make_targets(5, np.array([0, 2, 3]), 0.2)
    mixed = np.float32(0.7) * targets[[0]] + np.float32(0.3) * targets[[2]]
    mixed[:, [1, 4]] = -1
    for named, weight in ((0, 0.7), (2, 0.3), (3, 0.0)):
        logits = np.zeros((1, 5), np.float32)
        logits[0, [1, named]] = 9, 5  # the absent class is not listened to
        found = losses.masked_accuracy(mixed, logits, 0.2)
        np.testing.assert_allclose(found, [weight], atol=1e-6)


def test_cutmix_moves_no_draw_of_mixup():
    seed = tf.constant([0, 3])
    alone = mixing.sample_mixing(0.2, 0.0, BATCH, seed)
    both = mixing.sample_mixing(0.2, 0.3, BATCH, seed)
    for name in ("partner", "mixup"):
        np.testing.assert_array_equal(alone[name], both[name])
