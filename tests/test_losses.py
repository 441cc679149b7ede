"""Loss and accuracy see the active classes, and no others."""

import keras
import numpy as np
import pytest
from keras import ops

from smartgrowth.optim import losses

pytestmark = pytest.mark.core


def reference(targets, logits):
    """Cross-entropy and accuracy in float64, from the active columns alone."""
    values, hits = [], []
    for target, logit in zip(targets, logits, strict=True):
        active = np.flatnonzero(target >= 0)
        kept = logit[active].astype(np.float64)
        chances = np.exp(kept - kept.max())
        chances /= chances.sum()
        values.append(-(target[active] * np.log(chances)).sum())
        hits.append(float(target[active].argmax() == kept.argmax()))
    return np.array(values), np.array(hits)


def batch(absent=(), smoothing=0.0, size=32, classes=7, spread=3.0):
    """Targets and logits of a batch whose labels are all active."""
    random = np.random.default_rng(len(absent))
    logits = random.normal(0, spread, (size, classes)).astype(np.float32)
    active = np.setdiff1d(np.arange(classes), absent)
    labels = random.choice(active, size)
    targets = np.full((size, classes), -1.0, np.float32)
    targets[:, active] = smoothing / len(active)
    targets[np.arange(size), labels] += 1 - smoothing
    return targets, logits


CASES = pytest.mark.parametrize("absent", [(), (0,), (2, 5), (0, 1, 3, 4, 6)])
SMOOTHINGS = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])


@CASES
@SMOOTHINGS
def test_the_loss_is_the_cross_entropy_of_the_active_classes(absent, smoothing):
    targets, logits = batch(absent, smoothing)
    loss = losses.masked_crossentropy(targets, logits)
    assert loss.shape == (32,)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    expected, _ = reference(targets, logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)


@CASES
@SMOOTHINGS
def test_the_accuracy_is_between_the_active_classes(absent, smoothing):
    targets, logits = batch(absent, smoothing)
    hit = losses.masked_accuracy(targets, logits, smoothing)
    _, expected = reference(targets, logits)
    # Plain accuracy, smoothing undone: 1 or 0.
    np.testing.assert_allclose(hit, expected, atol=1e-6)
    if not smoothing:
        np.testing.assert_array_equal(hit, expected)
    assert 0 < expected.mean() < 1


@SMOOTHINGS
def test_the_accuracy_of_a_mixed_label_is_the_named_class_s_weight(smoothing):
    """Three parts in five of class 0, two of class 2; class 1 is absent."""
    label = (1 - smoothing) * np.float32([0.6, 0, 0.4, 0]) + smoothing / 3
    targets = np.float32([label] * 3)
    targets[:, 1] = -1
    logits = np.float32([[3, 9, 1, 2], [1, 9, 3, 2], [1, 9, 2, 3]])
    weight = losses.masked_accuracy(targets, logits, smoothing)
    np.testing.assert_allclose(weight, [0.6, 0.4, 0.0], atol=1e-6)


def test_an_absent_class_does_not_win_though_its_logit_is_the_largest():
    targets = np.float32([[0, 1, -1]])
    logits = np.float32([[1, 2, 50]])
    assert float(losses.masked_accuracy(targets, logits)[0]) == 1.0
    expected = np.log(1 + np.exp(-1))
    np.testing.assert_allclose(
        losses.masked_crossentropy(targets, logits), [expected], rtol=1e-6
    )


@SMOOTHINGS
def test_without_a_mask_it_is_keras_own(smoothing):
    targets, logits = batch((), smoothing)
    theirs = keras.losses.categorical_crossentropy(
        targets, logits, from_logits=True
    )
    np.testing.assert_allclose(
        losses.masked_crossentropy(targets, logits), theirs, rtol=1e-5
    )
    np.testing.assert_array_equal(
        np.round(losses.masked_accuracy(targets, logits, smoothing), 5),
        keras.metrics.categorical_accuracy(targets, logits),
    )


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_the_loss_is_finite_with_smoothing_and_huge_logits(scale):
    targets, logits = batch((0, 3), smoothing=0.1, spread=1.0)
    loss = np.asarray(losses.masked_crossentropy(targets, logits * scale))
    assert np.isfinite(loss).all()
    if scale == 1e4:
        # Of the order of the logits: no mass went to a logit of -1e9.
        assert loss.max() < 1e6


def gradient(targets, logits):
    """d(sum of losses) / d(logits), as the compiled step takes it."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        inputs = tf.convert_to_tensor(logits)
        tape.watch(inputs)
        loss = ops.sum(losses.masked_crossentropy(targets, inputs))
    return tape.gradient(loss, inputs).numpy()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes a gradient tape"
)
@SMOOTHINGS
def test_no_gradient_reaches_an_absent_class(smoothing):
    absent = (2, 5)
    targets, logits = batch(absent, smoothing)
    logits[:, absent] += 20.0
    found = gradient(targets, logits)
    np.testing.assert_array_equal(found[:, absent], 0.0)
    # Softmax minus target, over the active classes.
    active = [0, 1, 3, 4, 6]
    kept = logits[:, active].astype(np.float64)
    chances = np.exp(kept - kept.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        found[:, active], chances - targets[:, active], atol=1e-5
    )


def test_half_precision_logits_are_judged_in_float32():
    targets, logits = batch((1,))
    half = ops.cast(logits, "bfloat16")
    loss = losses.masked_crossentropy(targets, half)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    rounded = np.asarray(ops.cast(half, "float32"))
    np.testing.assert_allclose(loss, reference(targets, rounded)[0], rtol=1e-5)


@SMOOTHINGS
def test_the_metric_is_the_mean_over_all_batches(smoothing):
    metric = losses.make_accuracy(smoothing)
    assert metric.name == "accuracy"
    hits = []
    for absent in ((), (0,), (2, 5)):
        targets, logits = batch(absent, smoothing, size=8 + len(absent))
        metric.update_state(targets, logits)
        hits.extend(reference(targets, logits)[1])
    assert float(metric.result()) == pytest.approx(np.mean(hits))
