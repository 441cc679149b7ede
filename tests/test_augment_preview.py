"""Sheets show what the pipeline does, and nothing else."""

import numpy as np
import pytest

from smartgrowth.data.augment import preview
from smartgrowth.data.augment.policy import VARIANTS


@pytest.fixture
def image():
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 32)[:, None, None]
    return (ramp + random.integers(0, 56, (32, 32, 3))).astype(np.uint8)


def test_every_variant_is_shown_at_every_strength(image):
    sheet = preview.variant_sheet(image)
    assert [name for name, _ in sheet] == list(VARIANTS)
    for name, shown in sheet:
        assert [i.shape for i in shown] == [image.shape] * 3
        assert {i.dtype for i in shown} == {np.dtype(np.uint8)}
        for strength in shown[1:]:
            assert not np.array_equal(strength, image), name


def test_more_strength_shows_more_change(image):
    for name in ("shear", "brightness", "blur", "noise", "cutout"):
        [(_, shown)] = preview.variant_sheet(image, [name])
        change = [np.abs(i.astype(int) - image).mean() for i in shown]
        assert change == sorted(change) and change[2] > 1.3 * change[0], name


def test_the_same_seed_shows_the_same(image):
    first, again, other = (
        preview.variant_sheet(image, ["rotation", "hue"], seed=seed)
        for seed in (1, 1, 2)
    )
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one[1], two[1])
        assert not np.array_equal(one[1], three[1])
