"""The statistics against SciPy, known values and simulated comparisons."""

import math

import numpy as np
import pytest
from scipy import stats

from smartgrowth.comparison import cost_to_accuracy
from smartgrowth.comparison.significance import (
    bootstrap_band,
    compare_pairs,
    detectable,
    holm,
)
from smartgrowth.comparison.verdicts import (
    HELPS,
    HURTS,
    UNSEEN,
    UNTESTED,
    judge,
)

ARM = [0.71, 0.74, 0.69, 0.75, 0.72]
BASELINE = [0.70, 0.71, 0.69, 0.70, 0.71]


def verdict_of(arm, baseline):
    return judge({"arm": compare_pairs(arm, baseline)}, "base")["arm"]


# Pairs


def test_the_paired_figures_are_scipys():
    pair = compare_pairs(ARM, BASELINE)
    differences = np.subtract(ARM, BASELINE)
    assert pair.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    low, high = stats.t.interval(
        0.95, 4, differences.mean(), stats.sem(differences)
    )
    assert (pair.low, pair.high) == pytest.approx((low, high))
    assert pair.mean == pytest.approx(0.02)
    assert pair.deviation == pytest.approx(np.std(differences, ddof=1))
    assert pair.count == 5


def test_the_interval_is_that_of_the_t_table():
    """t(0.975, 4) = 2.776, of any table."""
    pair = compare_pairs([1, 2, 3, 4, 5], [0, 0, 0, 0, 0])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (pair.low, pair.high) == pytest.approx((3 - half, 3 + half))


def test_pairs_are_seed_by_seed_and_not_two_samples():
    """Seeds that differ much, by the same amount in both, hide nothing."""
    baseline = np.array([0.2, 0.4, 0.6, 0.8, 0.9])
    arm = baseline + [0.010, 0.012, 0.011, 0.009, 0.010]
    assert compare_pairs(arm, baseline).p < 0.001
    assert stats.ttest_ind(arm, baseline).pvalue > 0.9


def test_one_seed_has_a_difference_and_nothing_else():
    pair = compare_pairs([0.8], [0.7])
    assert pair.mean == pytest.approx(0.1)
    assert not pair.tested
    assert math.isnan(pair.deviation) and math.isnan(pair.low)


def test_equal_runs_are_no_division_by_zero():
    pair = compare_pairs(BASELINE, BASELINE)
    assert (pair.mean, pair.p, pair.low, pair.high) == (0, 1, 0, 0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_differences_that_are_all_equal_prove_nothing(count):
    """Among them 0.61 - 0.51 and 0.62 - 0.52, which differ by rounding."""
    baseline = np.array([0.51, 0.52, 0.53, 0.54, 0.55][:count])
    pair = compare_pairs(np.round(baseline + 0.1, 2), baseline)
    assert not pair.tested
    assert pair.mean == pytest.approx(0.1)


def test_samples_that_are_no_pairs_are_refused():
    for arm, baseline in (([1, 2], [1]), ([], [])):
        with pytest.raises(ValueError, match="no pairs"):
            compare_pairs(arm, baseline)


# Holm


@pytest.mark.parametrize(
    ("values", "corrected"),
    [
        # R: p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") and so on
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_gives_the_known_values(values, corrected):
    np.testing.assert_allclose(holm(values), corrected)


def test_a_test_that_could_not_be_made_counts_in_holm():
    corrected = holm([0.02, math.nan])
    assert corrected[0] == pytest.approx(0.04)
    assert math.isnan(corrected[1])


# What could be seen


@pytest.mark.parametrize(("count", "comparisons"), [(3, 1), (5, 1), (5, 4)])
def test_the_detectable_difference_is_found_in_four_of_five(count, comparisons):
    random = np.random.default_rng(0)
    shift = detectable(0.01, count, comparisons)
    samples = random.normal(shift, 0.01, (20_000, count))
    tests = stats.ttest_1samp(samples, 0, axis=1)
    found = (tests.pvalue * comparisons < 0.05) & (tests.statistic > 0)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_more_seeds_see_more_and_more_arms_less():
    seen = [detectable(0.01, count) for count in (2, 3, 5, 10, 100)]
    assert seen == sorted(seen, reverse=True)
    assert detectable(0.01, 5, 4) > detectable(0.01, 5, 1)
    assert detectable(0.0, 5) == 0
    assert math.isnan(detectable(math.nan, 1))


def test_a_band_holds_the_mean_and_narrows_with_the_spread():
    random = np.random.default_rng(0)
    values = random.normal([0.5, 0.7], [0.05, 0.01], (5, 2))
    low, high = bootstrap_band(values)
    mean = values.mean(axis=0)
    assert np.all(low < mean) and np.all(mean < high)
    assert (high - low)[0] > 2 * (high - low)[1]
    low, high = bootstrap_band(values[:1])
    np.testing.assert_array_equal(low, values[0])
    np.testing.assert_array_equal(high, values[0])
    low, high = bootstrap_band(np.full((3, 2), 0.5))
    np.testing.assert_array_equal(low, [0.5, 0.5])


# Verdicts


def test_two_identical_arms_show_no_difference():
    random = np.random.default_rng(1)
    unseen = 0
    for _ in range(1000):
        seeds = random.normal(0.7, 0.02, 5)
        arm, baseline = seeds + random.normal(0, 0.005, (2, 5))
        unseen += verdict_of(arm, baseline).word == UNSEEN
    assert unseen >= 930


def test_of_five_identical_arms_hardly_one_seems_to_differ():
    """Together: the error is the family's, not each arm's."""
    random = np.random.default_rng(2)
    unseen = 0
    for _ in range(500):
        baseline, *arms = random.normal(0.7, 0.01, (5, 5))
        pairs = {i: compare_pairs(a, baseline) for i, a in enumerate(arms)}
        pairs = {str(name): pair for name, pair in pairs.items()}
        words = {v.word for v in judge(pairs, "base").values()}
        unseen += words == {UNSEEN}
    assert unseen >= 465


def test_a_gain_of_two_deviations_is_found_with_five_seeds():
    random = np.random.default_rng(3)
    found = 0
    for _ in range(1000):
        baseline = random.normal(0.7, 0.02, 5)
        arm = baseline + random.normal(2 * 0.004, 0.004, 5)
        found += verdict_of(arm, baseline).word == HELPS
    assert found >= 850


def test_a_loss_hurts_and_says_by_how_much():
    verdict = verdict_of(BASELINE[::-1], np.add(ARM, 0.1))
    assert verdict.word == HURTS
    assert verdict.sentence.startswith("arm hurts: −")
    pair = verdict.paired
    assert f"−{-100 * pair.mean:.2f} points" in verdict.sentence
    assert f"interval −{-100 * pair.low:.2f}" in verdict.sentence


def test_seeing_nothing_says_what_would_have_been_seen():
    verdict = verdict_of(ARM, BASELINE)
    assert verdict.word == UNSEEN
    assert verdict.p == pytest.approx(compare_pairs(ARM, BASELINE).p)
    visible = detectable(verdict.paired.deviation, 5)
    assert verdict.visible == visible
    assert verdict.sentence.startswith("No difference seen between arm and")
    assert f"a true one of {100 * visible:.2f} points" in verdict.sentence


def test_fewer_than_five_seeds_are_exploratory():
    verdict = verdict_of(ARM[:4], BASELINE[:4])
    assert verdict.sentence.startswith("Exploratory, 4 seeds: ")
    assert "xploratory" not in verdict_of(ARM, BASELINE).sentence


def test_two_seeds_promise_no_visible_difference():
    verdict = verdict_of([0.9, 0.5], [0.5, 0.6])
    assert verdict.word == UNSEEN
    assert "so few seeds, none would have been seen" in verdict.sentence


def test_one_seed_claims_nothing():
    verdict = verdict_of([0.9], [0.5])
    assert verdict.word == UNTESTED
    assert "one seed has no spread, so nothing can be claimed" in (
        verdict.sentence
    )


def test_equal_differences_claim_nothing_and_equal_runs_no_difference():
    verdict = verdict_of(np.add(BASELINE, 0.1), BASELINE)
    assert verdict.word == UNTESTED
    assert "the same in all 5 seeds to the last image" in verdict.sentence
    verdict = verdict_of(BASELINE, BASELINE)
    assert verdict.word == UNSEEN
    assert verdict.sentence == (
        "No difference seen between arm and base: their accuracies are equal "
        "in all 5 seeds."
    )


def test_a_correction_can_take_a_verdict_back():
    pair = compare_pairs(
        np.add(BASELINE, [0.01, 0.03, 0, 0.03, 0.02]), BASELINE
    )
    assert 0.0125 < pair.p < 0.05
    assert judge({"a": pair}, "base")["a"].word == HELPS
    others = {name: compare_pairs(ARM, BASELINE) for name in "bcd"}
    verdict = judge({"a": pair} | others, "base")["a"]
    assert verdict.word == UNSEEN
    assert verdict.p > 0.05


# Curves


def test_the_cost_of_an_accuracy_lies_between_two_evaluations():
    curve = [10, 20, 40], [0.1, 0.5, 0.9]
    assert cost_to_accuracy.cost_to_reach(*curve, 0.6) == pytest.approx(25)
    assert cost_to_accuracy.cost_to_reach(*curve, 0.9) == pytest.approx(40)
    assert cost_to_accuracy.cost_to_reach(*curve, 0.05) == 10
    assert math.isnan(cost_to_accuracy.cost_to_reach(*curve, 0.91))


def test_the_first_time_counts_where_a_curve_falls_again():
    curve = [10, 20, 30, 40], [0.1, 0.7, 0.4, 0.8]
    assert cost_to_accuracy.cost_to_reach(*curve, 0.4) == pytest.approx(15)


def test_a_run_reaches_its_own_end_though_the_log_rounds_it():
    final = 1 / 3
    logged = float(f"{final:.6g}")
    assert logged < final
    assert cost_to_accuracy.cost_to_reach([1, 2], [0.1, logged], final) == 2


def test_an_evaluation_that_is_not_a_number_reaches_nothing():
    curve = [1, 2, 3], [0.2, math.nan, 0.6]
    assert cost_to_accuracy.cost_to_reach(*curve, 0.5) == 3


def test_curves_of_seeds_meet_on_the_first_ones_costs():
    one = [10, 20, 30], [0.1, 0.2, 0.3]
    other = [5, 15, 30.001], [0.0, 0.1, 0.4]
    costs, values = cost_to_accuracy.align([one, other])
    np.testing.assert_array_equal(costs, [10, 20, 30])
    np.testing.assert_allclose(values[0], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(values[1], [0.05, 0.2, 0.4], rtol=1e-3)


def test_times_less_cost_is_read_off_the_budgets():
    costs = [25, 50, 100]
    # Half the accuracy's way from 50 to 100 is at their geometric mean.
    ratio, kind = cost_to_accuracy.times_less(100, 0.65, costs, [0.5, 0.6, 0.7])
    assert (ratio, kind) == (pytest.approx(math.sqrt(2)), "=")
    assert cost_to_accuracy.times_less(100, 0.4, costs, [0.5, 0.6, 0.7]) == (
        4,
        "at least",
    )
    assert cost_to_accuracy.times_less(100, 0.8, costs, [0.5, 0.6, 0.7]) == (
        1,
        "less than",
    )
