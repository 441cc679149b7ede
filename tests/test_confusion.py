"""Confusions against matrices worked out by hand."""

import math

import numpy as np

from smartgrowth.metrics import confusion

# Five of class 0, two of 1, one of 2 and none of 3.
LABELS = [0, 0, 0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 1, 1, 2, 1, 0, 0]
MATRIX = np.array([[2, 2, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_the_matrix_counts_images_by_class_and_prediction():
    found = confusion.confusion_matrix(LABELS, PREDICTIONS, 4)
    np.testing.assert_array_equal(found, MATRIX)


def test_shares_are_of_each_class_and_none_of_an_empty_one():
    shares = confusion.row_shares(MATRIX)
    np.testing.assert_allclose(shares[0], [0.4, 0.4, 0.2, 0])
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 1, 0])


def test_every_class_with_images_has_its_figures_the_worst_first():
    rows = confusion.by_class(MATRIX)
    assert [row.label for row in rows] == [2, 0, 1]
    worst, first, second = rows
    assert (worst.images, worst.accuracy, worst.precision) == (1, 0.0, 0.0)
    assert (worst.rival, worst.mistaken) == (0, 1)
    assert (first.accuracy, first.precision) == (0.4, 0.5)
    assert (first.rival, first.mistaken) == (1, 2)
    assert (second.accuracy, second.precision) == (0.5, 1 / 3)


def test_a_class_that_is_never_predicted_has_no_precision_and_no_rival():
    never, always = confusion.by_class(np.array([[0, 2], [0, 3]]))
    assert math.isnan(never.precision)
    assert (always.rival, always.mistaken) == (None, 0)


def test_the_most_frequent_confusions_come_first_and_only_those_there_were():
    assert confusion.worst_pairs(MATRIX, 2) == [(0, 1, 2), (0, 2, 1)]
    assert len(confusion.worst_pairs(MATRIX, 10)) == 4


def test_classes_that_are_confused_stand_together():
    """Three pairs of classes, far apart in the order of the labels."""
    matrix = np.diag([60] * 6)
    for one, other, count in ((0, 3, 30), (1, 4, 20), (2, 5, 25)):
        matrix[one, other] = matrix[other, one] = count
    place = np.argsort(confusion.clustered_order(matrix))
    assert [abs(place[k] - place[k + 3]) for k in range(3)] == [1, 1, 1]


def test_without_confusions_the_order_stays():
    for matrix in (np.diag([3, 3, 3]), np.array([[1, 5], [5, 1]])):
        order = confusion.clustered_order(matrix)
        np.testing.assert_array_equal(order, np.arange(len(matrix)))
