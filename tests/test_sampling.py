"""Passes, stages and seeds draw images independently of one another.

The images of a store are sorted by class: a pass that resembles another one
repeats its classes as well.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from smartgrowth.data import pipeline

# The cipher permutes blocks of a power of four or twice that. These counts
# fill theirs nearly (60,000 of 65,536), halfway, or hardly.
COUNTS = [10_000, 12_000, 20_000, 50_000, 60_000, 100_000]
CLASSES = 100
BATCH = 200
FIRST = (0, 0, 0)  # seed, stage, pass
OTHERS = {"pass": (0, 0, 1), "stage": (0, 1, 0), "seed": (1, 0, 0)}


@functools.cache
def order(count: int, key: tuple[int, int, int]) -> np.ndarray:
    """The images of a pass, int64 (count,)."""
    seed, stage, drawn_pass = key
    place = tf.range(count, dtype=tf.int64)
    return pipeline._permute(
        place, count, (seed, stage), tf.fill([count], np.int64(drawn_pass))
    ).numpy()


@pytest.fixture
def four_rounds(monkeypatch):
    """TensorFlow's default, as a control."""
    monkeypatch.setattr(pipeline, "ROUNDS", 4)
    order.cache_clear()
    yield
    order.cache_clear()


def correlation(count: int, other: str) -> float:
    """Of the images at the same place, in standard deviations from chance."""
    pair = order(count, FIRST), order(count, OTHERS[other])
    return np.corrcoef(*pair)[0, 1] * np.sqrt(count)


def batch_scores(images: np.ndarray) -> np.ndarray:
    """How far a batch's images of a class are from their expectation.

    In standard deviations of the hypergeometric distribution: of a draw
    without replacement. (batches, classes)
    """
    count = len(images)
    batches = (images * CLASSES // count)[: count // BATCH * BATCH]
    cell = np.arange(len(batches)) // BATCH * CLASSES + batches
    shown = np.bincount(cell, minlength=count // BATCH * CLASSES)
    share = 1 / CLASSES
    variance = BATCH * share * (1 - share) * (count - BATCH) / (count - 1)
    scores = (shown - BATCH * share) / np.sqrt(variance)
    return scores.reshape(-1, CLASSES)


@pytest.mark.parametrize("count", COUNTS)
def test_an_order_says_nothing_of_another_pass_stage_or_seed(count):
    for key in (FIRST, *OTHERS.values()):
        shown = np.bincount(order(count, key), minlength=count)
        assert (shown == 1).all()
    for other in OTHERS:
        assert abs(correlation(count, other)) < 4, other


@pytest.mark.parametrize("count", COUNTS)
def test_a_place_shows_the_same_class_again_no_more_than_by_chance(count):
    first = order(count, FIRST) * CLASSES // count
    chance = 1 / CLASSES
    deviation = np.sqrt(chance * (1 - chance) / count)
    for other, key in OTHERS.items():
        again = (first == order(count, key) * CLASSES // count).mean()
        assert abs(again - chance) < 4 * deviation, other


@pytest.mark.parametrize("count", COUNTS)
def test_a_batch_has_as_many_of_a_class_as_a_random_draw(count):
    first = batch_scores(order(count, FIRST))
    # Cells of a table; their squares deviate by about the square root of 2.
    deviation = 1 / np.sqrt(first.size)
    assert (first**2).mean() == pytest.approx(1, abs=6 * deviation)
    for other, key in OTHERS.items():
        both = first * batch_scores(order(count, key))
        assert abs(both.mean()) < 4 * deviation, other


@pytest.mark.parametrize("count", COUNTS)
def test_four_rounds_would_repeat_a_pass(four_rounds, count):
    """So these tests can fail."""
    assert correlation(count, "pass") > 10
