"""From flags to a plan: the stages' images, sizes, steps and prices."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from smartgrowth import UserError, boundaries, growth
from smartgrowth.config import Config
from smartgrowth.flags.flag import ALL
from smartgrowth.flags.model import is_users
from smartgrowth.models import user_network
from smartgrowth.models.network import Network
from smartgrowth.stages import GrowthRules, Plan, Stage


def make_plan(
    config: Config,
    class_counts: Sequence[int],
    network: Network,
    repeated: Mapping | None = None,
) -> Plan:
    """Returns the run that `config` plans.

    Args:
      config: its stages, model, budget and evaluations count.
      class_counts: training images of each class, in the order in which the
        classes enter.
      network: prices an image at each size.
      repeated: with `--grow_schedule`, the plan.json of the run that it names.

    Raises:
      UserError: an image size that the network's stride cannot take, a first
        stage with one class, a budget too small for a step a stage, another
        number of stages than are repeated.
    """
    total = len(class_counts)
    stages = [Stage(index) for index in range(config.num_stages)]
    for axis in growth.AXES:
        values = config.per_stage(axis.flag)
        stages = _set(
            stages, axis.field, [axis.resolve(each, total) for each in values]
        )
    counts = [_counts(stage, class_counts) for stage in stages]
    passes = tuple(
        len(each) * max(each) if config.balance == "oversample" else sum(each)
        for each in counts
    )
    stages = _set(stages, "num_images", map(sum, counts))
    # A stage with fewer images than a batch gets a smaller batch.
    sizes = config.per_stage("batch_size")
    stages = _set(stages, "batch_size", map(min, sizes, map(sum, counts)))
    check_sizes(config)
    stages = _set(
        stages,
        "jitter_sizes",
        [_jitter(config, stage.image_size, network) for stage in stages],
    )
    precomputed = [_precomputes(config, stage, network) for stage in stages]
    stages = _set(stages, "precomputed", precomputed)
    if config.replay:  # later stages; the only one if there are none
        later = [stage.index > 0 or len(stages) == 1 for stage in stages]
        stages = _set(stages, "replay", [x * config.replay[1] for x in later])
    for stage in stages:
        if stage.num_classes < 2:
            raise UserError(
                "a stage with one class has nothing to tell apart; give "
                "--grow_classes and --classes at least 2"
            )
    flops, once = zip(
        *(_price(config, stage, network) for stage in stages), strict=True
    )
    prices = [s.batch_size * f for s, f in zip(stages, flops, strict=True)]
    if repeated:
        steps = [stage["steps"] for stage in repeated["stages"]]
    else:
        steps = _steps(config, stages, passes, prices)
    if len(steps) != len(stages):
        raise UserError(
            f"--grow_schedule={config.grow_schedule}: that run has "
            f"{len(steps)} stages, this one {len(stages)}"
        )
    budget = (config.budget_gflops or 0) * 1e9
    # What repeats a run of the same cost repeats its very steps.
    if budget and not (
        repeated
        and abs(_cost(steps, prices) + sum(once) - budget) <= max(prices) / 2
    ):
        steps = _scale(steps, prices, budget, sum(once))
    stages = _set(stages, "steps", steps)
    first_steps = [sum(steps[:index]) for index in range(len(steps))]
    stages = _set(stages, "first_step", first_steps)
    plan = Plan(tuple(stages), flops, config.evals or 1, passes, once)
    if repeated and "budget" in repeated:
        # Its rate and its evaluations too, if they cost the same here.
        whole = budget or repeated["budget"]
        if abs(plan.flops - whole) <= max(prices) / 2:
            return dataclasses.replace(plan, budget=whole)
    if not config.decides_growth:
        return plan
    rules = GrowthRules(
        config.grow_learned,
        config.grow_slowed,
        config.grow_least,
        config.grow_most,
        config.grow_last,
    )
    plan = dataclasses.replace(plan, rules=rules, budget=budget or plan.flops)
    return boundaries.lay_out(plan)


def make_network(config: Config, num_classes: int) -> Network:
    """Returns the network that `config` names.

    Raises:
      UserError: it is a function of the user's that cannot be called.
    """
    make = user_network.make if is_users(config.model) else Network
    return make(
        config.model, num_classes, config.width, config.depth, config.dropout
    )


def check_sizes(config: Config) -> set[int]:
    """Returns every image size that the run needs, in pixels.

    Raises:
      UserError: the network cannot take one, or it cannot be cut.
    """
    network = make_network(config, num_classes=2)
    sizes = {*config.grow_size, config.final_size}
    for size in sizes:
        network.check_size(size)
    sizes = sizes.union(
        *(_jitter(config, size, network) for size in config.grow_size)
    )
    if max(sizes) != config.size_seen(max(sizes)):
        raise UserError(
            f"--grow_by=crop: images of {max(sizes)} px cannot be cut from "
            f"those of {config.final_size} px, the final size; give "
            f"--test_size={max(sizes)}"
        )
    return set(map(config.size_seen, sizes))


def _set(stages, name, values) -> list[Stage]:
    return [
        dataclasses.replace(stage, **{name: value})
        for stage, value in zip(stages, values, strict=True)
    ]


def _jitter(config: Config, size: int, network: Network) -> tuple[int, ...]:
    """Returns what --size_jitter makes of a size, fit for the network.

    Empty if all that it makes is the size itself.
    """
    stride = network.stride
    sizes = tuple(
        max(round(size * factor / stride), 1) * stride
        for factor in config.size_jitter
    )
    return sizes if set(sizes) != {size} else ()


def _precomputes(config: Config, stage: Stage, network: Network) -> bool:
    """Whether the frozen layers make the same of an image at every step."""
    trained = network.trained_groups(stage.trainable)
    changed = config.augments and stage.augmentation > 0
    return (
        config.precompute
        and trained != network.group_names
        and not changed
        and not stage.jitter_sizes
        and config.size_seen(stage.image_size) == stage.image_size
    )


def _price(config: Config, stage: Stage, network: Network) -> tuple[int, int]:
    """Returns FLOPs of training on one image, and of what comes before."""
    first = stage.trainable
    flops = statistics.mean(
        network.training_flops(size, first, config.whiten)
        for size in stage.sizes
    )
    if not stage.precomputed:
        return flops, 0
    frozen = network.frozen_flops(stage.image_size, first)
    return flops - frozen, stage.num_images * frozen


def _counts(stage: Stage, class_counts: Sequence[int]) -> list[int]:
    """Returns a stage's distinct images of each active class."""
    active = class_counts[: stage.num_classes]
    if stage.samples_per_class is ALL:
        return list(active)
    return [min(stage.samples_per_class, count) for count in active]


def _steps(
    config: Config, stages, passes: Sequence[int], prices: Sequence[float]
) -> list[float]:
    """Returns the steps of each stage, before any budget.

    passes: images of a pass over each stage. prices: FLOPs of a step.
    """
    if config.stage_steps:
        return list(config.per_stage("stage_steps"))
    if config.stage_shares and not config.budget_gflops:
        raise UserError(
            "--stage_shares are parts of --budget_gflops; give that too"
        )
    if config.stage_shares:  # of the budget, by which they are scaled next
        shares = config.per_stage("stage_shares")
        part = config.budget_gflops * 1e9 / sum(shares)
        return [
            share * part / price
            for share, price in zip(shares, prices, strict=True)
        ]
    epochs = config.per_stage("stage_epochs")
    return [
        max(round(n * images / stage.batch_size), 1)
        for n, images, stage in zip(epochs, passes, stages, strict=True)
    ]


def _cost(steps: Sequence[float], prices: Sequence[float]) -> float:
    return sum(n * price for n, price in zip(steps, prices, strict=True))


def _scale(steps, prices, budget: float, once: float) -> list[int]:
    """Returns steps in the same proportion, at least one each.

    With `once`, what does not depend on them, they cost `budget` to within half
    of the costliest step.
    """
    least = sum(prices) + once
    if budget < least:
        raise UserError(
            f"--budget_gflops={budget / 1e9:g} does not pay for one step of "
            f"every stage ({least / 1e9:,.1f} GFLOPs); raise it"
        )
    budget -= once

    def costs(factor):
        pairs = zip(steps, prices, strict=True)
        return [max(count * factor, 1) * price for count, price in pairs]

    # Halved until exact: stages that get their one step leave less to others.
    low, high = 0.0, budget / sum(costs(1.0))
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if sum(costs(middle)) > budget else (middle, high)
        )
    scaled, owed = [], 0.0
    for cost, price in zip(costs(high), prices, strict=True):
        # What rounding left over is spent in the next stage.
        owed += cost
        scaled.append(max(round(owed / price), 1))
        owed -= scaled[-1] * price
    return scaled
