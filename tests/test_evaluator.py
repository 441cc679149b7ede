"""Figures against values worked out by hand; logits against Keras' own."""

import math

import keras
import numpy as np
import pytest

from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.evaluation import evaluator as module
from smartgrowth.metrics.scores import score, softmax
from smartgrowth.models.network import Network

pytestmark = pytest.mark.core

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="JAX compiles once a shape by itself",
)
# Of three images whose labels are 0, 1, 2, between three classes.
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
LABELS = np.array([0, 1, 2])


def scores_of(probabilities, labels, classes=None):
    """`score`, which must leave what it is given as it was."""
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    given = probabilities.copy(), labels.copy()
    scores = score(probabilities, labels, classes)
    np.testing.assert_array_equal(probabilities, given[0])
    np.testing.assert_array_equal(labels, given[1])
    return scores


# Scores


def test_scores_of_three_images_by_hand():
    scores = scores_of(PROBABILITIES, LABELS)
    loss = -(math.log(0.7) + math.log(0.4) + math.log(0.8)) / 3
    assert scores.loss == pytest.approx(loss, rel=1e-12)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.top5 == 1.0  # of three classes the label is always among five


def test_top5_counts_the_five_likeliest():
    ranked = np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02])
    scores = scores_of(np.tile(ranked, (7, 1)), np.arange(7))
    assert scores.top5 == pytest.approx(5 / 7)
    assert scores.accuracy == pytest.approx(1 / 7)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_top5_of_up_to_five_classes_is_all(count):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(count), 20)
    labels = random.integers(0, count, 20)
    assert scores_of(probabilities, labels).top5 == 1.0


def test_only_images_and_classes_that_have_entered_count():
    # Between classes 1 and 2 the second image is right: 0.8 to 0.2.
    scores = scores_of(PROBABILITIES, LABELS, classes=np.array([2, 1]))
    loss = -(math.log(0.4 / 0.5) + math.log(0.8 / 0.9)) / 2
    assert scores.loss == pytest.approx(loss, rel=1e-12)
    assert scores.accuracy == 1.0
    assert scores.top5 == 1.0


def test_all_classes_entered_is_no_restriction():
    everything = scores_of(PROBABILITIES, LABELS, classes=np.array([1, 2, 0]))
    plain = scores_of(PROBABILITIES, LABELS)
    assert everything.loss == pytest.approx(plain.loss, rel=1e-12)
    assert everything.accuracy == plain.accuracy


def test_absent_classes_are_no_rivals_even_of_a_hopeless_label():
    """Its probability is zero: no worse than last of the two that entered."""
    probabilities = np.zeros((1, 8))
    probabilities[0, [3, 5]] = 0.6, 0.4
    scores = scores_of(probabilities, [0], classes=np.array([0, 3]))
    assert (scores.accuracy, scores.top5) == (0.0, 1.0)


def test_a_tie_counts_against_the_network():
    scores = scores_of(np.full((4, 8), 1 / 8), [0, 1, 2, 7])
    assert (scores.accuracy, scores.top5) == (0.0, 0.0)
    assert scores.loss == pytest.approx(math.log(8))


def test_what_is_not_a_number_is_no_hit():
    scores = scores_of(np.full((3, 8), np.nan), [0, 1, 2])
    assert (scores.accuracy, scores.top5) == (0.0, 0.0)
    assert math.isnan(scores.loss)


def test_a_certain_mistake_costs_much_but_not_everything():
    scores = scores_of([[1.0, 0.0]], [1])
    assert scores.loss == pytest.approx(-math.log(1e-12))


def test_no_image_of_the_entered_classes_gives_no_figures():
    scores = scores_of(PROBABILITIES, [0, 0, 0], classes=np.array([1, 2]))
    figures = (scores.loss, scores.accuracy, scores.top5)
    assert all(math.isnan(figure) for figure in figures)


def test_softmax_is_exact_and_does_not_overflow():
    logits = np.array([[0, math.log(2), math.log(5)], [1e4, 1e4, -1e4]])
    np.testing.assert_allclose(
        softmax(logits.astype(np.float32)),
        [[1 / 8, 2 / 8, 5 / 8], [0.5, 0.5, 0]],
        rtol=1e-6,
    )
    assert softmax(logits).dtype == np.float64


# Logits


def images_of(data, split, size):
    part = data.split(split)
    return np.array(part.images(size)[part.rows])


def test_logits_are_kerass_own_at_every_size_in_any_order(
    evaluator, model, tiny_data
):
    for split, size in (
        (VALIDATION, 16),
        (VALIDATION, 24),
        (TRAIN, 16),
        (VALIDATION, 16),
    ):
        logits = evaluator.logits(tiny_data.split(split), size)
        images = images_of(tiny_data, split, size)
        model.predict_function = None
        expected = model.predict(images, batch_size=len(images), verbose=0)
        # Not a whole number of batches: what filled the last one is cut off.
        assert len(images) % module.BATCH
        assert logits.shape == (len(images), 4)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        assert np.ptp(expected, axis=0).min() > 0.01  # images do differ


def test_maps_are_of_the_images_whose_logits_they_add_up_to(
    evaluator, tiny_data
):
    part, classes = tiny_data.validation, np.arange(20) % 4
    for size in (16, 24):
        maps = evaluator.class_maps(part, size, classes)
        assert maps.shape == (20, size // 8, size // 8)
        logits = evaluator.logits(part, size)[np.arange(20), classes]
        np.testing.assert_allclose(
            maps.mean(axis=(1, 2)), logits, rtol=1e-4, atol=1e-4
        )


def test_a_network_without_maps_has_none_of_any_image(tiny_data):
    network = Network("mlp", 4, width=8, depth=1)
    model = network.build(tiny_data.mean, tiny_data.variance)
    evaluator = module.Evaluator(model, tiny_data)
    given = tiny_data.validation, 16, np.zeros(20, int)
    assert evaluator.class_maps(*given) is None


def test_flipped_logits_are_those_of_the_mirror_images(
    evaluator, model, tiny_data
):
    flipped = evaluator.logits(tiny_data.validation, 16, flip=True)
    images = images_of(tiny_data, VALIDATION, 16)[:, :, ::-1]
    np.testing.assert_allclose(
        flipped, model.predict(images, verbose=0), rtol=1e-4, atol=1e-4
    )
    plain = evaluator.logits(tiny_data.validation, 16)
    assert np.abs(flipped - plain).max() > 0.01


@tensorflow_only
def test_every_size_is_compiled_once(evaluator, tiny_data):
    for _ in range(3):
        for size in (16, 24):
            for flip in (False, True):
                evaluator.logits(tiny_data.validation, size, flip)
    assert sorted(evaluator.functions) == [16, 24]
    for function in evaluator.functions.values():
        assert function.experimental_get_tracing_count() == 1


def test_logits_of_chosen_classes_are_of_their_images(
    model, tiny_store, monkeypatch
):
    from smartgrowth.data import store

    monkeypatch.setattr(module, "BATCH", 8)
    data = store.open_data(tiny_store, ("sun", "rook"))
    logits = module.Evaluator(model, data).logits(data.validation, 24)
    expected = model.predict(images_of(data, VALIDATION, 24), verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
