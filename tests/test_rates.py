"""The tables of a run: the schedule by steps, and by what they cost."""

import dataclasses

import numpy as np
import pytest

from smartgrowth import boundaries
from smartgrowth.config import Config
from smartgrowth.optim.rates import make_rate_tables
from smartgrowth.optim.schedules import SCHEDULES
from smartgrowth.planning import make_network, make_plan
from smartgrowth.runs.identity import name_flags
from smartgrowth.stages import Decision

COUNTS = [100] * 4


def tables_of(decisions=(), **flags):
    """Rates, momenta and the cost before every step, of a run."""
    settings = {"width": 8, "depth": 1, "stage_steps": (40,)}
    config = Config(**settings | flags)
    network = make_network(config, len(COUNTS))
    plan = make_plan(config, COUNTS, network)
    if decisions:
        decided = tuple(Decision(step, "slowed") for step in decisions)
        plan = dataclasses.replace(plan, decisions=decided)
        plan = boundaries.lay_out(plan)
    tables = make_rate_tables(config, plan, 0.5, network.group_names)
    spent = np.array([plan.gflops(step) for step in range(plan.steps)])
    return tables.rates, tables.momenta, spent


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_where_all_steps_cost_the_same_both_clocks_do(schedule):
    flags = {"schedule": schedule, "grow_samples": (5, None), "cycle_len": 30}
    flags |= {"batch_size": (16,)}
    steps = tables_of(**flags)
    cost = tables_of(**flags, schedule_clock="cost")
    np.testing.assert_array_equal(steps[0], cost[0])
    np.testing.assert_array_equal(steps[1], cost[1])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_by_cost_the_rate_is_a_function_of_the_cost_alone(schedule):
    """Whatever the stages are that it is spent in."""
    flags = {"schedule": schedule, "schedule_clock": "cost"}
    flags |= {"budget_gflops": 20.0}
    curves = [
        tables_of(grow_size=sizes, stage_steps=steps, **flags)
        for sizes, steps in (
            ((16, 32), (60, 40)),
            ((16, 32), (20, 60)),
            ((32, 16, 32), (30, 60, 10)),
        )
    ]
    grid = np.linspace(0.5, 19, 50)
    first = np.interp(grid, curves[0][2], curves[0][0])
    for rates, _, spent in curves[1:]:
        # Steps and triangles have corners between two steps.
        difference = np.abs(np.interp(grid, spent, rates) - first)
        assert np.quantile(difference, 0.9) < 0.02
    if schedule in ("one_cycle", "cosine"):
        assert curves[0][0][-1] == pytest.approx(0, abs=0.01)


def test_a_decision_does_not_move_the_rate_at_a_cost():
    flags = {"grow_size": (16, 32), "grow_when": "auto"}
    open_rates, open_momenta, _ = tables_of(**flags)
    rates, momenta, _ = tables_of((15,), **flags)
    np.testing.assert_array_equal(rates[:15], open_rates[:15])
    np.testing.assert_array_equal(momenta[:15], open_momenta[:15])
    assert len(rates) < len(open_rates)
    assert rates.max() == pytest.approx(open_rates.max(), rel=0.01)


def test_a_schedule_for_every_stage_is_by_its_steps():
    flags = {"grow_size": (16, 32), "schedule_scope": "stage"}
    by_steps = tables_of(**flags)
    by_cost = tables_of(**flags, schedule_clock="cost")
    np.testing.assert_array_equal(by_steps[0], by_cost[0])


def test_a_cycle_by_cost_is_one_of_the_last_stage():
    """Its first costs as much as that many of the last stage's steps."""
    flags = {"grow_size": (16, 32), "schedule": "sgdr"}
    rates, _, spent = tables_of(**flags, schedule_clock="cost", cycle_len=20)
    restart = 1 + np.flatnonzero(np.diff(rates) > 0.2)[0]
    price = spent[-1] - spent[-2]
    assert spent[restart] == pytest.approx(20 * price, abs=price)
    epochs, _, _ = tables_of(**flags, schedule_clock="cost", cycle_epochs=3)
    steps = round(3 * 400 / 64)
    same, _, _ = tables_of(**flags, schedule_clock="cost", cycle_len=steps)
    np.testing.assert_array_equal(epochs, same)


def test_auto_goes_by_cost_whatever_was_said():
    config = Config(grow_when="auto")
    assert config.schedule_clock == "cost"
    assert name_flags(config)["schedule_clock"] == "cost"
    assert "schedule_clock" not in name_flags(Config())
