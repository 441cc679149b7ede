"""Intervals over seeds and images: their coverage, and what they reduce to."""

import math

import numpy as np
import pytest
from scipy import stats

from smartgrowth.comparison import image_sampling
from smartgrowth.comparison.significance import compare_pairs

BASE, GAIN = 0.5, 0.15  # of a latent ability; an answer is right above 0


def simulate(random, seeds: int, images: int, by_image: float, by_seed: float):
    """Returns which images each run got right: (seeds, images) per arm.

    Images are hard for both arms, and for one arm in particular; seeds are
    lucky; and each answer is by chance as well.
    """
    hard = random.normal(0, 1, images)
    for ability in (BASE + GAIN, BASE):
        latent = ability + hard + random.normal(0, by_image, images)
        latent = latent + random.normal(0, by_seed, (seeds, 1))
        yield latent + random.normal(0, 0.4, (seeds, images)) > 0


def true_difference(by_image: float, by_seed: float) -> float:
    """Of all images and all seeds: the latent sums are normal."""
    spread = math.sqrt(1 + by_image**2 + by_seed**2 + 0.4**2)
    return float(np.diff(stats.norm.cdf([BASE, BASE + GAIN], scale=spread))[0])


def figures(arm, baseline):
    pair = compare_pairs(arm.mean(axis=1), baseline.mean(axis=1))
    differences = arm.astype(np.int8) - baseline.astype(np.int8)
    wider = image_sampling.intervals({"arm": pair}, {"arm": differences})
    return pair, wider.get("arm")


def test_it_covers_the_difference_of_all_seeds_and_images(monkeypatch):
    """The t interval over seeds, 5 here, covers it far too seldom."""
    monkeypatch.setattr(image_sampling, "DRAWS", 150)
    random = np.random.default_rng(1)
    spread = {"by_image": 0.5, "by_seed": 0.05}
    truth, both, seeds_only = true_difference(**spread), 0, 0
    for _ in range(400):
        pair, wider = figures(*simulate(random, 5, 200, **spread))
        seeds_only += pair.low <= truth <= pair.high
        both += wider[0] <= truth <= wider[1]
        assert wider[0] <= pair.low and pair.high <= wider[1]
    assert 0.92 <= both / 400 <= 0.98
    assert seeds_only / 400 < 0.87


def test_images_that_are_alike_add_nothing_to_what_seeds_differ_by():
    """Each answer is by chance alone, so other images would add no spread."""
    random = np.random.default_rng(3)
    shares = []
    for _ in range(200):
        arm, baseline = (random.random((2, 4, 500)) < 0.7).astype(np.int8)
        shares.append(image_sampling.shared_part(arm - baseline))
    assert np.mean(shares) < 0.1
    same = np.tile(random.integers(-1, 2, 500), (4, 1))
    assert image_sampling.shared_part(same) == pytest.approx(1)


def test_equal_seeds_leave_the_spread_of_the_images():
    """Half of 400 images differ, as many for the arm as for the baseline."""
    arm = np.zeros((3, 400), bool)
    baseline = arm.copy()
    arm[:, :100], baseline[:, 100:200] = True, True
    pair, wider = figures(arm, baseline)
    assert (pair.low, pair.high) == (0, 0)
    assert wider == pytest.approx(
        (-1.96 * math.sqrt(0.5 / 400), 1.96 * math.sqrt(0.5 / 400)), rel=0.06
    )


def test_many_images_leave_the_t_interval():
    pair = compare_pairs([0.70, 0.72, 0.71], [0.60, 0.61, 0.63])
    wider = image_sampling.intervals(
        {"arm": pair}, {"arm": np.full((3, 1000), 1)}
    )
    assert wider["arm"] == pytest.approx((pair.low, pair.high))


def test_what_is_not_tested_has_no_interval():
    random = np.random.default_rng(0)
    pair, wider = figures(*simulate(random, 1, 50, 0.5, 0.1))
    assert not pair.tested and wider is None


def test_arms_share_the_images_of_a_draw_and_order_counts_for_nothing():
    random = np.random.default_rng(2)
    arm, baseline = simulate(random, 4, 300, 0.5, 0.1)
    other, _ = simulate(random, 4, 300, 0.5, 0.1)
    pairs, differences = {}, {}
    for name, right in {"one": arm, "two": other}.items():
        pairs[name] = compare_pairs(right.mean(axis=1), baseline.mean(axis=1))
        differences[name] = right.astype(np.int8) - baseline
    together = image_sampling.intervals(pairs, differences)
    for name in pairs:
        alone = image_sampling.intervals(pairs, {name: differences[name]})
        assert alone[name] == pytest.approx(together[name], abs=1e-6)
