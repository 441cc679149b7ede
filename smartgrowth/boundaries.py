"""Where the stages of `--grow_when=auto` end: bounds, rules and decisions.

A decision is a pure function of what log.csv holds of the training images,
never of the validation images, and falls only at an evaluation. So a resumed
run decides what the uninterrupted one would have decided.

A stage's rule is that of what grows next, as `growth.AXES` says:

    learned   images or classes: the stage's own images are learned, or their
              accuracy rises no more
    slowed    size, augmentation, trained layers: the training loss falls less
              per GFLOP than a share of the fastest fall of this stage. Losses
              of different sizes cannot be compared, so each stage is measured
              against itself.

Where several grow at once, the first rule to be met decides.
"""

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence

from smartgrowth import UserError, growth
from smartgrowth.growth import LEARNED, SLOWED
from smartgrowth.stages import GrowthRules, Plan, Stage

PATIENCE = 2  # evaluations without a higher accuracy: it rises no more
NOT_RISING, MOST = "not rising", "most"


def bounds(plan: Plan) -> list[tuple[float, float]]:
    """Returns the least and the most FLOPs of each stage.

    Those that are decided have what they have; the last gets what is left.

    Raises:
      UserError: the budget does not pay for the least of every stage.
    """
    rules, count = plan.rules, len(plan.decisions)
    decided = [plan.flops_of(stage) for stage in plan.stages[:count]]
    left = plan.budget - sum(decided)
    shares = [rules.least] * (len(plan.stages) - 1) + [rules.last]
    # A stage has a step at least, and what is computed before it.
    least = [
        max(share * plan.budget, plan.flops_of(stage, 1))
        for stage, share in zip(plan.stages, shares, strict=True)
    ][count:]
    free = left - sum(least)  # for any of those that are not decided
    if free < -plan.step_flops(plan.stages[-1]):  # but for rounding
        raise UserError(
            f"--budget_gflops={plan.budget / 1e9:g} does not pay for one step "
            "of every stage beside the shares that each gets at least "
            "(--grow_least, --grow_last); raise it"
        )
    most = [
        min(max(rules.most * plan.budget, low), low + free)
        for low in least[:-1]
    ]
    end = max(least[-1], left - sum(most)), least[-1] + free
    return [
        *((flops, flops) for flops in decided),
        *zip(least[:-1], most, strict=True),
        end,
    ]


def lay_out(plan: Plan) -> Plan:
    """Returns a plan whose stages end where it was decided, or at their bound.

    The first stage that is not decided lasts as long as it may, those between
    it and the last as short as they may, and the last takes what is left.

    Raises:
      UserError: as `bounds`.
    """
    stages, ends = [], [decision.step for decision in plan.decisions]
    first, last = 0, len(plan.stages) - 1
    for stage in plan.stages[: len(ends)]:
        steps = ends[stage.index] - first
        stages.append(dataclasses.replace(stage, first_step=first, steps=steps))
        first += steps
    plan = dataclasses.replace(
        plan, stages=(*stages, *plan.stages[len(ends) :])
    )
    limits, spent = bounds(plan), sum(map(plan.flops_of, stages))
    for stage in plan.stages[len(ends) :]:
        price, once = plan.step_flops(stage), plan.once_flops_of(stage)
        if stage.index == last:
            steps = round((plan.budget - spent - once) / price)
        else:
            least, most = limits[stage.index]
            flops = most if stage.index == len(ends) else least
            steps = math.floor((flops - once) / price)
        steps = max(steps, 1)
        stages.append(dataclasses.replace(stage, first_step=first, steps=steps))
        spent += plan.flops_of(stages[-1])
        first += steps
    return dataclasses.replace(plan, stages=tuple(stages))


def most_images(plan: Plan) -> int:
    """Returns the most images that a plan may show, whatever is decided.

    What the stages' least leaves goes to those whose images cost least.
    """
    limits = bounds(plan)
    spent = [least for least, _ in limits]
    left = plan.budget - sum(spent)
    for place in sorted(
        range(len(limits)), key=lambda at: plan.flops_per_image[at]
    ):
        more = min(limits[place][1] - spent[place], max(left, 0.0))
        spent[place] += more
        left -= more
    images = zip(spent, plan.flops_per_image, strict=True)
    return math.ceil(sum(flops / price for flops, price in images))


def rules_of(plan: Plan, stage: Stage) -> set[str]:
    """Returns which rules may end a stage; none of the last one."""
    if stage.index + 1 == len(plan.stages):
        return set()
    after = plan.stages[stage.index + 1]
    rules = {
        axis.rule
        for axis in growth.AXES
        if getattr(stage, axis.field) != getattr(after, axis.field)
    }
    return rules or {SLOWED}


def loss_fall(rows: Sequence[Mapping]) -> float:
    """Returns how fast the training loss fell at last.

    Per GFLOP, as a share of the fastest fall between two evaluations.

    Args:
      rows: of log.csv, of one stage, up to now.

    Returns:
      1 at the fastest, below 0 if the loss rose; NaN as long as it has never
      fallen, and at the stage's first evaluation.
    """
    falls = [
        (before["train_loss"] - after["train_loss"])
        / (after["gflops"] - before["gflops"])
        for before, after in itertools.pairwise(rows)
    ]
    fastest = max(falls, default=0.0)
    return falls[-1] / fastest if fastest > 0 else math.nan


def decide(plan: Plan, stage: Stage, rows: Sequence[Mapping]) -> str | None:
    """Returns the rule by which a stage ends at its last evaluation, if any.

    Args:
      plan: as far as it is decided.
      stage: of `plan`, the first that is not decided.
      rows: of log.csv, of this stage, up to now.
    """
    allowed, rules = rules_of(plan, stage), plan.rules
    if not allowed:
        return None
    step = rows[-1]["step"]
    # An evaluation may be half a step before the cost that it is meant for.
    within = step - stage.first_step + 1
    if plan.flops_of(stage, within) >= rules.least * plan.budget:
        if LEARNED in allowed:
            accuracies = [row["stage_train_accuracy"] for row in rows]
            if accuracies[-1] >= rules.learned:
                return LEARNED
            before, late = accuracies[:-PATIENCE], accuracies[-PATIENCE:]
            if before and max(late) <= max(before):
                return NOT_RISING
        if SLOWED in allowed and rows[-1]["loss_fall"] < rules.slowed:
            return SLOWED
    return MOST if step == stage.last_step else None


def describe(rules: GrowthRules, allowed: Collection[str]) -> list[str]:
    """Returns in words when a stage ends by the rules of `rules_of`."""
    words = {
        LEARNED: f"once {rules.learned:.0%} of its own training images are "
        "right, or no more of them than before",
        SLOWED: "once the training loss falls at less than "
        f"{rules.slowed:g} of its fastest in the stage",
    }
    return [text for rule, text in words.items() if rule in allowed]


def explain(rules: Mapping, rule: str, row: Mapping) -> str:
    """Returns in words why a stage ends.

    Args:
      rules: of the plan, as plan.json has them.
      rule: that `decide` returned.
      row: of log.csv, of the evaluation.
    """
    accuracy = f"{row['stage_train_accuracy']:.1%}"
    if rule == LEARNED:
        return (
            f"{accuracy} of its own training images are right, at least "
            f"{rules['learned']:.0%}"
        )
    if rule == NOT_RISING:
        return (
            f"the accuracy on its own training images, {accuracy}, has not "
            f"risen in {PATIENCE} evaluations"
        )
    if rule == SLOWED:
        if row["loss_fall"] < 0:
            return "the training loss does not fall any more"
        return (
            f"the training loss falls at {row['loss_fall']:.2f} of its fastest "
            f"in the stage, less than {rules['slowed']:g}"
        )
    return f"it has its most, {rules['most']:.0%} of the cost, or all there is"
