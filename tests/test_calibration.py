"""Calibration against values worked out by hand and in closed form."""

import math

import numpy as np
import pytest

from smartgrowth.metrics.calibration import (
    expected_calibration_error,
    reliability,
)


def two_classes(confidence, right):
    """Probabilities and labels of images that are that sure, and right."""
    confidence = np.asarray(confidence, float)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    return probabilities, np.where(right, 0, 1)


def test_four_images_by_hand():
    """Two at 0.9, one of them right; two at 0.6, both right."""
    given = two_classes([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1])
    found = reliability(*given, bins=10)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 2, 0]
    assert found.confidence[[5, 8]] == pytest.approx([0.6, 0.9])
    assert found.accuracy[[5, 8]] == pytest.approx([1.0, 0.5])
    assert np.isnan(found.accuracy[[0, 9]]).all()
    assert found.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_bins_weigh_as_many_images_as_they_hold():
    """Three sure and right (gap 0), one at 0.75 and wrong (gap 0.75)."""
    given = two_classes([1, 1, 1, 0.75], [1, 1, 1, 0])
    assert expected_calibration_error(*given) == pytest.approx(0.75 / 4)


def test_a_network_as_right_as_sure_has_no_error():
    given = two_classes([0.8] * 10, [1] * 8 + [0] * 2)
    assert expected_calibration_error(*given) == pytest.approx(0, abs=1e-12)


def test_a_network_that_is_sure_and_always_wrong_has_the_whole_error():
    given = two_classes([1.0] * 5, [0] * 5)
    assert expected_calibration_error(*given) == 1.0


def test_confidences_uniform_over_the_upper_half_and_always_right():
    """The mean of 1 - c for c uniform over 0.5 to 1 is a quarter."""
    count = 100_000
    confidence = 0.5 + (np.arange(count) + 0.5) / (2 * count)
    given = two_classes(confidence, np.ones(count))
    assert expected_calibration_error(*given) == pytest.approx(0.25, abs=1e-9)


def test_gaps_of_one_bin_cancel_and_of_two_do_not():
    """Over- and underconfidence: what binning hides, as the paper notes."""
    given = two_classes([0.6, 0.9], [1, 0])
    assert expected_calibration_error(*given, bins=1) == pytest.approx(0.25)
    assert expected_calibration_error(*given, bins=15) == pytest.approx(0.65)


def test_a_bin_holds_its_upper_edge():
    given = two_classes([0.5, 1.0], [1, 1])
    assert reliability(*given, bins=2).counts.tolist() == [1, 1]


def test_no_image_has_no_error():
    assert math.isnan(expected_calibration_error(np.zeros((0, 3)), []))
