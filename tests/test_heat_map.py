"""Heat maps are read by their hue, on any image."""

import numpy as np
import pytest

from smartgrowth.rendering.heat_map import HUE, blend

LEFT = np.array([[1.0, -3.0], [1.0, -3.0]])


def flat(value, shape=(16, 16)):
    return np.full((*shape, 3), value, np.uint8)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_high_places_have_the_hue_and_low_ones_none(value):
    drawn = blend(flat(value), LEFT, 64).astype(int)
    assert drawn.shape == (64, 64, 3)
    high, low = drawn[:, :8].mean(axis=(0, 1)), drawn[:, -8:].mean(axis=(0, 1))
    assert np.ptp(low) < 1
    assert high[0] - high[2] > 125
    np.testing.assert_allclose(high - low, 0.7 * (np.array(HUE) - low), atol=3)


def test_the_image_shows_through_its_own_heat_map():
    image = flat(0)
    image[:, ::2] = 255
    drawn = blend(image, np.array([[0.0, 1.0]]), 16).astype(int)
    steps = np.abs(np.diff(drawn[8, :, 0]))
    assert steps.min() > 35


def test_only_differences_within_the_image_count():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for factor, offset in ((10, 0), (1, -50), (0.01, 3)):
        np.testing.assert_allclose(
            blend(image, factor * LEFT + offset, 32).astype(int),
            blend(image, LEFT, 32),
            atol=1,
        )


@pytest.mark.parametrize("value", [0.0, -7.5, np.nan, np.inf])
def test_a_map_without_differences_has_no_hue(value):
    drawn = blend(flat(200), np.full((3, 3), value), 16).astype(int)
    assert np.ptp(drawn, axis=-1).max() == 0


def test_what_is_not_finite_hides_no_other_place():
    heat = np.array([[0.0, 1.0], [np.nan, 0.0]])
    drawn = blend(flat(200), heat, 32).astype(int)
    assert np.ptp(drawn[2, -3]) > 125


def test_a_picture_keeps_its_shape():
    assert blend(flat(9, (8, 16)), LEFT, 32).shape == (16, 32, 3)
