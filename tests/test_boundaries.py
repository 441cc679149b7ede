"""Where stages end: bounds and rules, on figures that are injected."""

import dataclasses
import math

import numpy as np
import pytest

from smartgrowth import UserError, boundaries
from smartgrowth.config import Config
from smartgrowth.planning import make_network, make_plan
from smartgrowth.stages import Decision, GrowthRules, Plan

COUNTS = [100] * 10


def plan_of(**flags) -> Plan:
    """A plan of ten classes with 100 images each, 20 evaluations."""
    settings = {"grow_when": "auto", "evals": 20, "width": 8, "depth": 1}
    settings |= {"grow_learned": 0.9, "grow_slowed": 0.25, "grow_most": 0.4}
    config = Config(**settings | {"stage_steps": (400,)} | flags)
    return make_plan(config, COUNTS, make_network(config, len(COUNTS)))


def decided(plan: Plan, *steps: int) -> Plan:
    decisions = tuple(Decision(step, "slowed") for step in steps)
    return boundaries.lay_out(dataclasses.replace(plan, decisions=decisions))


def rows_of(plan: Plan, stage: int, losses, accuracies=None) -> list[dict]:
    """Rows of log.csv at a stage's evaluations; training images' alone."""
    steps = plan.evaluations(plan.stages[stage], 0)
    rows = []
    for place, (step, loss) in enumerate(zip(steps, losses, strict=False)):
        row = {"step": step, "train_loss": loss, "gflops": plan.gflops(step)}
        row["stage_train_accuracy"] = accuracies[place] if accuracies else 0.0
        row["loss_fall"] = boundaries.loss_fall([*rows, row])
        rows.append(row)
    return rows


def fired(plan: Plan, stage: int, rows) -> tuple[int, str] | None:
    """The evaluation, counted from 1, at which a rule ends the stage."""
    for count in range(1, len(rows) + 1):
        rule = boundaries.decide(plan, plan.stages[stage], rows[:count])
        if rule:
            return count, rule
    return None


def test_every_stage_has_its_share_and_all_together_the_budget():
    plan = plan_of(grow_size=(16, 24, 32), grow_most=0.3)
    whole = plan.budget
    shares = [
        flops / whole for pair in boundaries.bounds(plan) for flops in pair
    ]
    assert shares == pytest.approx([0.05, 0.3, 0.05, 0.3, 0.4, 0.9])
    first = plan.flops_of(plan.stages[0]) / whole
    second = plan.flops_of(plan.stages[1]) / whole
    assert first == pytest.approx(0.3, abs=0.01)  # as long as it may last
    assert second == pytest.approx(0.05, abs=0.01)
    price = plan.step_flops(plan.stages[-1])
    assert plan.flops == pytest.approx(whole, abs=price / 2)


def test_a_decision_moves_nothing_before_it_and_keeps_the_budget():
    plan = plan_of(grow_size=(16, 24, 32))
    step = plan.evaluations(plan.stages[0], 0)[2]
    after = decided(plan, step)
    assert after.stages[0].last_step == after.stages[1].first_step == step
    assert [after.gflops(n) for n in range(step + 1)] == [
        plan.gflops(n) for n in range(step + 1)
    ]
    assert after.evaluations(after.stages[0], 0) == [
        each for each in plan.evaluations(plan.stages[0], 0) if each <= step
    ]
    price = plan.step_flops(plan.stages[-1])
    assert after.flops == pytest.approx(plan.budget, abs=price / 2)
    # What the first did not use is left to the others.
    (least, most), (last, _) = boundaries.bounds(after)[1:]
    assert (least, most) == pytest.approx(
        (0.05 * plan.budget, 0.4 * plan.budget)
    )
    spent = after.flops_of(after.stages[0])
    assert last == pytest.approx(0.6 * plan.budget - spent)


def test_the_last_keeps_what_is_kept_for_it():
    plan = plan_of(grow_size=(16, 24, 32), grow_most=0.7, grow_last=0.4)
    after = decided(plan, plan.stages[0].last_step)
    (_, most), (last, _) = boundaries.bounds(after)[1:]
    assert last == pytest.approx(0.4 * plan.budget)
    left = 0.6 * plan.budget - after.flops_of(after.stages[0])
    assert most == pytest.approx(left)
    assert most >= 0.05 * plan.budget - plan.step_flops(plan.stages[0])


def test_a_stage_ends_once_its_loss_falls_slowly():
    """Per GFLOP and against the stage's own fastest fall, to the evaluation."""
    plan = plan_of(grow_size=(16, 32), grow_slowed=0.25, grow_most=0.6)
    falls = [0.2, 1.0, 0.8, 0.26, 0.24, 0.9]
    losses = [5.0]
    for fall in falls:
        losses.append(losses[-1] - fall)
    rows = rows_of(plan, 0, losses)
    assert rows[4]["loss_fall"] == pytest.approx(0.26, rel=0.05)
    assert fired(plan, 0, rows) == (6, "slowed")
    # A loss that has not fallen yet has not slowed down.
    rising = rows_of(plan, 0, [5.0, 5.5, 6.0])
    assert all(math.isnan(row["loss_fall"]) for row in rising)
    assert fired(plan, 0, rising) is None


def test_a_stage_ends_once_its_images_are_learned():
    plan = plan_of(grow_samples=(10, None), grow_size=(32,), grow_learned=0.9)
    losses = [5.0, 1.0, 0.99, 0.98, 0.97]  # which slowed would end sooner
    rows = rows_of(plan, 0, losses, [0.2, 0.5, 0.89, 0.9, 1.0])
    assert fired(plan, 0, rows) == (4, "learned")


def test_a_stage_ends_once_it_learns_no_more():
    plan = plan_of(grow_classes=(5, None), grow_learned=0.9)
    accuracies = [0.2, 0.5, 0.45, 0.6, 0.55, 0.6, 0.8]
    rows = rows_of(plan, 0, [1.0] * 7, accuracies)
    assert fired(plan, 0, rows) == (6, "not rising")


def test_either_rule_ends_a_stage_after_which_both_kinds_grow():
    plan = plan_of(grow_samples=(10, None), grow_size=(16, 32))
    assert boundaries.rules_of(plan, plan.stages[0]) == {"learned", "slowed"}
    assert boundaries.rules_of(plan, plan.stages[1]) == set()
    slow = rows_of(plan, 0, [5.0, 4.0, 3.9], [0.1, 0.2, 0.3])
    assert fired(plan, 0, slow) == (3, "slowed")
    known = rows_of(plan, 0, [5.0, 4.0, 3.0], [0.1, 0.95, 0.96])
    assert fired(plan, 0, known) == (2, "learned")


def test_no_rule_ends_a_stage_before_its_least():
    plan = plan_of(
        grow_samples=(10, None), grow_learned=0.0, grow_least=0.2, evals=10
    )
    rows = rows_of(plan, 0, [1.0] * 3)
    assert fired(plan, 0, rows) == (2, "learned")
    share = plan.gflops(rows[1]["step"]) * 1e9 / plan.budget
    assert share == pytest.approx(0.2, abs=0.01)


def test_a_stage_ends_at_its_most_whatever_it_shows():
    plan = plan_of(grow_size=(16, 32), grow_slowed=0.0, grow_most=0.3)
    steady = [5.0 - 0.1 * place for place in range(20)]
    rows = rows_of(plan, 0, steady)
    assert fired(plan, 0, rows) == (len(rows), "most")
    assert rows[-1]["step"] == plan.stages[0].last_step
    assert plan.gflops(rows[-1]["step"]) * 1e9 == pytest.approx(
        0.3 * plan.budget, abs=plan.step_flops(plan.stages[0])
    )


def test_the_last_stage_is_over_when_the_budget_is():
    plan = decided(plan_of(grow_size=(16, 32)), 100)
    rows = rows_of(plan, 1, [3.0, 2.0, 1.99, 1.98])
    assert fired(plan, 1, rows) is None


@pytest.mark.parametrize("rule", ["learned", "not rising", "slowed", "most"])
def test_every_decision_is_explained_by_its_figure(rule):
    rules = dataclasses.asdict(GrowthRules(0.9, 0.25, 0.05, 0.4, 0.25))
    row = {"stage_train_accuracy": 0.912, "loss_fall": 0.123}
    told = boundaries.explain(rules, rule, row)
    figures = {"slowed": ("0.12", "0.25"), "most": ("40%",)}
    figures |= {"learned": ("91.2%", "90%"), "not rising": ("91.2%",)}
    assert all(figure in told for figure in figures[rule])


def test_what_is_accepted_at_the_start_stays_possible():
    """A step of a costly stage, or what it computes first, may be more than its
    share; nothing runs out of budget while it trains.
    """
    random = np.random.default_rng(0)
    checked = 0
    for _ in range(300):
        count = int(random.integers(2, 6))
        flags = {
            "grow_size": tuple(sorted(random.choice((16, 32, 64), count))),
            "grow_trainable": ("head",) * (count - 1) + ("all",),
            "augment": ("none",),
            "stage_steps": (int(random.integers(1, 60)),),
        }
        try:
            plan = plan_of(**flags)
        except UserError:
            continue
        for stage in range(count - 1):
            steps = plan.evaluations(plan.stages[stage], 0)
            end = int(random.choice(steps))
            plan = decided(plan, *[d.step for d in plan.decisions], end)
        price = plan.step_flops(plan.stages[-1])
        assert plan.flops <= plan.budget + price
        checked += 1
    assert checked > 100


def test_the_most_images_are_those_of_the_cheapest_stages():
    plan = plan_of(grow_size=(16, 24, 32))
    most = boundaries.most_images(plan)
    random = np.random.default_rng(1)
    for _ in range(50):
        other = plan
        for stage in range(2):
            steps = other.evaluations(other.stages[stage], 0)
            end = int(random.choice(steps))
            other = decided(other, *[d.step for d in other.decisions], end)
        assert other.images_seen(other.steps) <= most + 2 * 64
    both = decided(plan, plan.stages[0].last_step)
    both = decided(both, both.stages[0].last_step, both.stages[1].last_step)
    assert both.images_seen(both.steps) == pytest.approx(most, rel=0.01)


def test_no_evaluation_is_of_a_few_batches_only():
    plan = plan_of(grow_size=(16, 32, 16), grow_most=0.3)
    for ends in ((), (plan.stages[0].last_step,)):
        other = decided(plan, *ends)
        for stage in other.stages:
            first, *_ = other.evaluations(stage, 0)
            cost = other.flops_of(stage, first - stage.first_step)
            assert cost > 0.4 * plan.budget / 20


def test_a_budget_that_is_too_small_is_an_error():
    with pytest.raises(UserError, match="--budget_gflops=.* raise it"):
        plan_of(grow_size=(16, 24, 32), budget_gflops=0.01)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"schedule_scope": "stage"}, "--schedule_scope=run"),
        ({"grow_schedule": "file:x", "stage_steps": ()}, "give one"),
        ({"grow_least": 0.4}, "--grow_least=0.4, --grow_most"),
        ({"grow_least": 0.3, "grow_most": 0.2}, "--grow_most=0.2"),
        ({"grow_least": 0.0}, "above 0"),
        ({"grow_last": 0.95}, "--grow_last=0.95"),
        ({"grow_learned": 1.5}, "--grow_learned=1.5"),
    ],
)
def test_rules_that_cannot_be_kept_are_errors(flags, words):
    with pytest.raises(UserError, match=words):
        plan_of(grow_size=(16, 24, 32), **flags)


def test_a_plan_without_growth_has_nothing_to_decide():
    plan = plan_of(grow_size=(32,))
    assert plan.steps == 400
    assert boundaries.rules_of(plan, plan.stages[0]) == set()
