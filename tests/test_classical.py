"""Colors and edges: what is counted, and where."""

import numpy as np
import pytest

from smartgrowth.curriculum import classical


@pytest.mark.parametrize("side", [4, 7, 24])
def test_grid_means_are_those_of_the_cells(side):
    values = np.random.default_rng(side).random((2, side, side, 3), np.float32)
    found = classical.grid_means(values, 4)
    cells = np.arange(side) * 4 // side
    for row, column in ((0, 0), (1, 3), (3, 2)):
        cell = values[:, cells == row][:, :, cells == column]
        np.testing.assert_allclose(
            found[:, row, column], cell.mean(axis=(1, 2)), rtol=1e-5
        )


def test_an_image_below_the_grid_is_described_too():
    images = np.random.default_rng(0).random((3, 2, 2, 3), np.float32)
    assert np.isfinite(classical.grid_colors(images)).all()
    assert np.isfinite(classical.gradient_histogram(images)).all()


def test_grid_colors_are_means_and_spreads_of_opponent_colors():
    images = np.zeros((2, 8, 8, 3), np.float32)
    images[0] = (0.9, 0.3, 0.6)
    images[1, ::2] = 1.0  # stripes of black and white
    found = classical.grid_colors(images).reshape(2, 2, 4, 4, 3)
    np.testing.assert_allclose(found[0, 0, 2, 1], (0.6, 0.3, 0), atol=1e-6)
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-3)
    np.testing.assert_allclose(found[1, 0, 0, 0], (0.5, 0, 0), atol=1e-6)
    np.testing.assert_allclose(found[1, 1, 3, 3], (0.5, 0, 0), atol=1e-6)


def test_the_color_histogram_counts_pixels():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, 0] = (255, 64, 0)  # a quarter of it
    found = classical.color_histogram(images)
    assert found.shape == (2, classical.LEVELS**3)
    expected = np.zeros_like(found)
    expected[0, 0] = 1
    expected[1, 0] = np.sqrt(0.75)
    expected[1, 3 * 16 + 1 * 4 + 0] = 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def stripes(degrees, contrast=1.0):
    """A wave whose gradient points to `degrees` from the horizontal."""
    y, x = np.mgrid[:32, :32] * 0.8
    angle = np.deg2rad(degrees)
    wave = 0.5 + 0.4 * contrast * np.sin(x * np.cos(angle) + y * np.sin(angle))
    return np.repeat(np.float32(wave)[None, ..., None], 3, axis=-1)


@pytest.mark.parametrize("bin", range(classical.ORIENTATIONS))
def test_a_gradient_is_counted_at_its_orientation(bin):
    degrees = 180 / classical.ORIENTATIONS * bin
    found = classical.gradient_histogram(stripes(degrees))
    votes = found.reshape(-1, classical.ORIENTATIONS).sum(axis=0)
    assert votes.argmax() == bin
    # Whether it brightens or darkens: the other way round is the same.
    opposite = classical.gradient_histogram(stripes(degrees + 180))
    votes = opposite.reshape(-1, classical.ORIENTATIONS).sum(axis=0)
    assert votes.argmax() == bin


def test_gradients_between_two_orientations_are_shared():
    half = 180 / classical.ORIENTATIONS / 2
    found = classical.gradient_histogram(stripes(half))
    votes = found.reshape(-1, classical.ORIENTATIONS).sum(axis=0)
    np.testing.assert_allclose(votes[0], votes[1], rtol=0.1)
    assert votes[:2].min() > 5 * votes[3:7].max()


def test_contrast_hardly_changes_the_gradient_histogram():
    found, faint, other = (
        classical.gradient_histogram(images)
        for images in (stripes(30), stripes(30, contrast=0.6), stripes(120))
    )
    change = np.linalg.norm(found - faint)
    assert change < 0.1 * np.linalg.norm(found - other)


def test_a_flat_image_has_no_orientation():
    flat = np.full((1, 32, 32, 3), 0.7, np.float32)
    np.testing.assert_array_equal(classical.gradient_histogram(flat), 0)
