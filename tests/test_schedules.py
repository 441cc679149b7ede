"""Schedules have the published values: at every knot, at both ends, beyond."""

import math

import numpy as np
import pytest

from smartgrowth.optim import schedules

HIGH, LOW = 0.95, 0.85  # the momentum's default range


def values(schedule, *steps) -> list[float]:
    return [float(schedule(step)) for step in steps]


def test_constant_is_constant():
    schedule = schedules.constant(0.3)
    assert values(schedule, 0, 1, 10**6) == [0.3, 0.3, 0.3]


def test_cosine_runs_from_start_to_end_and_stays_there():
    schedule = schedules.cosine(1.0, 0.2, 101)
    assert values(schedule, 0, 50, 100, 101, 5000) == pytest.approx(
        [1.0, 0.6, 0.2, 0.2, 0.2]
    )
    # A quarter of the way: 0.2 + 0.8 (1 + cos 45 degrees) / 2.
    assert schedule(25) == pytest.approx(0.2 + 0.4 * (1 + math.sqrt(0.5)))


def test_one_cycle_peaks_after_its_warmup():
    schedule = schedules.one_cycle(2.0, 101)
    rise = 25  # a quarter of 101 steps
    curve = schedule(np.arange(101))
    assert curve.argmax() == rise
    assert values(schedule, 0, rise, 100) == pytest.approx([2 / 25, 2, 2e-4])
    assert (np.diff(curve[: rise + 1]) > 0).all()
    assert (np.diff(curve[rise:]) < 0).all()


def test_one_cycle_is_two_half_cosines():
    schedule = schedules.one_cycle(
        1.0, 141, warmup=40 / 141, start_factor=10, end_factor=100
    )
    # The middle of each ramp is the mean of its ends, and a quarter is
    # (1 - cos 45 degrees) / 2 of the way.
    quarter = (1 - math.sqrt(0.5)) / 2
    assert values(schedule, 10, 20, 65, 90) == pytest.approx(
        [0.1 + 0.9 * quarter, 0.55, 1 - 0.99 * quarter, 0.505]
    )


def test_one_cycle_stays_at_its_end():
    schedule = schedules.one_cycle(2.0, 100)
    assert values(schedule, 99, 100, 10**6) == pytest.approx([2e-4] * 3)


def test_triangular_is_low_at_the_corners_and_high_between():
    schedule = schedules.triangular(0.1, 1.1, 20)
    steps = [0, 5, 10, 15, 20, 25, 30, 40, 50]
    assert values(schedule, *steps) == pytest.approx(
        [0.1, 0.6, 1.1, 0.6, 0.1, 0.6, 1.1, 0.1, 1.1]
    )


def test_triangular2_halves_its_height_with_every_cycle():
    schedule = schedules.triangular2(0.1, 1.1, 20)
    assert values(schedule, 0, 10, 20, 30, 40, 45, 50) == pytest.approx(
        [0.1, 1.1, 0.1, 0.6, 0.1, 0.225, 0.35]
    )


def test_exp_range_shrinks_its_height_at_every_step():
    schedule = schedules.exp_range(0.1, 1.1, 20, 0.9)
    assert values(schedule, 0, 5, 10, 20, 30) == pytest.approx(
        [0.1, 0.1 + 0.5 * 0.9**5, 0.1 + 0.9**10, 0.1, 0.1 + 0.9**30]
    )


@pytest.mark.parametrize("length", range(2, 10))
def test_a_triangle_of_any_length_has_that_period_and_reaches_its_peak(length):
    peak = length // 2
    fall = length - peak
    for name, first, second in (
        ("triangular", 1.0, 1.0),
        ("triangular2", 1.0, 0.5),
        ("exp_range", 0.1 ** (peak / 30), 0.1 ** ((peak + length) / 30)),
    ):
        schedule, _ = schedules.make_schedules(
            name, 2.0, 30, cycle_steps=length
        )
        knots = [0, peak, length, length + peak, 2 * length]
        expected = [0.2, 0.2 + 1.8 * first, 0.2, 0.2 + 1.8 * second, 0.2]
        assert values(schedule, *knots) == pytest.approx(expected), name
    # Straight between the knots.
    schedule = schedules.triangular(0.0, 1.0, length)
    cycle = [step / peak for step in range(peak)]
    cycle += [1 - step / fall for step in range(fall)]
    assert values(schedule, *range(3 * length)) == pytest.approx(3 * cycle)


def test_a_triangle_of_one_step_is_all_peak():
    for make, expected in (
        (schedules.triangular, [1.1, 1.1, 1.1]),
        (schedules.triangular2, [1.1, 0.6, 0.35]),
    ):
        assert values(make(0.1, 1.1, 1), 0, 1, 2) == pytest.approx(expected)
    decayed = schedules.exp_range(0.1, 1.1, 1, 0.9)
    assert values(decayed, 0, 1, 2) == pytest.approx([1.1, 1.0, 0.91])


def restarts(schedule, steps: int) -> list[int]:
    """Steps at which the curve rises: where a cycle begins."""
    curve = schedule(np.arange(steps))
    return [0, *(np.flatnonzero(np.diff(curve) > 0) + 1)]


@pytest.mark.parametrize(
    ("cycle", "mult", "steps", "lengths"),
    [
        (10, 1.0, 30, [10, 10, 10]),
        (10, 2.0, 70, [10, 20, 40]),
        (10, 1.5, 47, [10, 15, 22]),  # 22.5 rounds to even
        (10, 1.0, 35, [10, 10, 10, 5]),  # half a cycle is a cycle
        (10, 1.0, 34, [10, 10, 14]),  # less is joined to the one before
        (10, 2.0, 50, [10, 20, 20]),
        (10, 2.0, 49, [10, 39]),
        (10, 0.5, 19, [10, 5, 2, 2]),  # a shorter one would not come down
        (10, 0.5, 20, [10, 5, 2, 3]),
        (1, 1.0, 5, [2, 3]),
        (100, 2.0, 60, [60]),
    ],
)
def test_sgdr_cycles_have_their_lengths(cycle, mult, steps, lengths):
    schedule = schedules.sgdr(1.0, 0.1, cycle, mult, steps)
    begins = np.cumsum([0, *lengths])
    assert begins[-1] == steps
    assert restarts(schedule, steps) == list(begins[:-1])
    # Every cycle starts high and ends low, the last one too.
    assert schedule(begins[:-1]) == pytest.approx(np.full(len(lengths), 1.0))
    assert schedule(begins[1:] - 1) == pytest.approx(np.full(len(lengths), 0.1))
    assert values(schedule, steps, steps + 1000) == pytest.approx([0.1, 0.1])


def test_an_sgdr_cycle_is_a_cosine():
    schedule = schedules.sgdr(1.0, 0.0, 11, 1.0, 22)
    assert values(schedule, 5, 16) == pytest.approx([0.5, 0.5])
    assert schedule(13) == pytest.approx((1 + math.cos(math.pi / 5)) / 2)


def test_joined_schedules_count_from_zero_and_the_last_goes_on():
    ramp = [lambda s, k=k: 100.0 * k + s for k in range(3)]
    schedule = schedules.join(ramp, [3, 2, 4])
    assert values(schedule, *range(12)) == [
        *(0, 1, 2),
        *(100, 101),
        *(200, 201, 202, 203, 204, 205, 206),
    ]


ALL = {
    "constant": schedules.constant(0.1),
    "cosine": schedules.cosine(1, 0, 20),
    "one_cycle": schedules.one_cycle(1, 20),
    "triangular": schedules.triangular(0.1, 1, 5),
    "triangular2": schedules.triangular2(0.1, 1, 5),
    "exp_range": schedules.exp_range(0.1, 1, 5, 0.9),
    "sgdr": schedules.sgdr(1, 0, 5, 2.0, 20),
    "join": schedules.join([schedules.constant(1.0)] * 2, [3, 4]),
}


@pytest.mark.parametrize("name", ALL)
def test_arrays_and_scalars_give_the_same(name):
    schedule = ALL[name]
    steps = np.arange(30).reshape(5, 6)
    curve = schedule(steps)
    assert curve.shape == (5, 6)
    assert curve.dtype == np.float64
    one_by_one = [[float(schedule(int(s))) for s in row] for row in steps]
    np.testing.assert_array_equal(curve, one_by_one)
    assert np.shape(schedule(3)) == ()


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_finite_rates(name, steps):
    for cycle in (None, 1, 1000):
        with np.errstate(all="raise"):
            pair = schedules.make_schedules(name, 0.5, steps, cycle_steps=cycle)
            rates, momenta = (part(np.arange(steps + 3)) for part in pair)
        assert ((rates >= 0) & (rates <= 0.5)).all()
        assert ((momenta >= LOW - 1e-12) & (momenta <= HIGH)).all()
        assert rates[:steps].max() > 0


def test_a_two_step_one_cycle_still_reaches_its_peak():
    schedule = schedules.one_cycle(1.0, 2)
    assert values(schedule, 0, 1) == pytest.approx([1 / 25, 1.0])


@pytest.mark.parametrize(
    ("name", "knots"),
    [
        # rate / peak at some steps of 400, in cycles of 100
        ("constant", {0: 1, 399: 1}),
        ("cosine", {0: 1, 399: 0}),
        ("one_cycle", {0: 1 / 25, 100: 1, 399: 1e-4}),
        ("triangular", {0: 0.1, 50: 1, 100: 0.1, 150: 1, 200: 0.1, 350: 1}),
        ("triangular2", {0: 0.1, 50: 1, 100: 0.1, 150: 0.55, 250: 0.325}),
        # A tenth of the height is left at the run's end.
        ("exp_range", {0: 0.1, 50: 0.1 + 0.9 * 0.1 ** (1 / 8), 400: 0.1}),
        ("sgdr", {0: 1, 99: 0, 100: 1, 199: 0, 300: 1, 399: 0}),
    ],
)
def test_a_named_schedule_has_its_knots(name, knots):
    rates, _ = schedules.make_schedules(name, 0.2, 400, cycle_steps=100)
    expected = [0.2 * value for value in knots.values()]
    assert values(rates, *knots) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "name", ["one_cycle", "triangular", "triangular2", "exp_range"]
)
def test_momentum_goes_against_the_rate(name):
    rates, momenta = schedules.make_schedules(
        name, 3.0, 400, cycle_steps=100, momentum=(0.8, 0.9)
    )
    rate, momentum = rates(np.arange(400)), momenta(np.arange(400))
    # On one line: the lowest at the peak, the highest at no rate at all.
    np.testing.assert_allclose(momentum, 0.9 - 0.1 * rate / 3.0)
    assert momentum.argmin() == rate.argmax()
    assert momentum[rate.argmin()] == momentum.max()
    moving = np.abs(np.diff(rate)) > 1e-9
    slopes = np.diff(momentum)[moving] / np.diff(rate)[moving]
    assert (slopes < 0).all()


@pytest.mark.parametrize("name", ["constant", "cosine", "sgdr"])
def test_momentum_stays_where_the_rate_does_not_cycle(name):
    _, momenta = schedules.make_schedules(name, 3.0, 40, momentum=(0.8, 0.9))
    np.testing.assert_array_equal(momenta(np.arange(40)), np.full(40, 0.9))


def test_cycles_grow_for_sgdr():
    rates, _ = schedules.make_schedules(
        "sgdr", 1.0, 70, cycle_steps=10, cycle_mult=2.0
    )
    assert restarts(rates, 70) == [0, 10, 30]


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_one_cycle_of_the_whole_scope_unless_told(name):
    whole, _ = schedules.make_schedules(name, 1.0, 60)
    told, _ = schedules.make_schedules(name, 1.0, 60, cycle_steps=60)
    longer, _ = schedules.make_schedules(name, 1.0, 60, cycle_steps=600)
    steps = np.arange(60)
    np.testing.assert_array_equal(whole(steps), told(steps))
    np.testing.assert_array_equal(whole(steps), longer(steps))


def test_tables_begin_anew_in_every_stage_only_when_told():
    lengths = [9, 8]
    rates, momenta = schedules.make_tables(
        "cosine", 0.05, lengths, per_stage=True
    )
    assert len(rates) == len(momenta) == 17
    assert rates[0] == rates[9] == pytest.approx(0.05)
    assert rates[8] == pytest.approx(0.0) == rates[16]
    whole, _ = schedules.make_tables("cosine", 0.05, lengths, per_stage=False)
    np.testing.assert_allclose(whole, schedules.cosine(0.05, 0, 17)(range(17)))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", list(schedules.SCHEDULES))
def test_a_rate_for_every_stage_scales_its_part_of_the_schedule(name, restart):
    lengths, peaks = [9, 8], [0.05, 0.2]
    rates, momenta = schedules.make_tables(
        name, peaks, lengths, per_stage=restart
    )
    for part, peak in zip((slice(9), slice(9, 17)), peaks, strict=True):
        alone, same = schedules.make_tables(
            name, peak, lengths, per_stage=restart
        )
        np.testing.assert_array_equal(rates[part], alone[part])
        np.testing.assert_allclose(momenta, same)
