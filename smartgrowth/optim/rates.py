"""Learning rate and momentum of every step of a plan.

The one place that knows both schedules and stages. `training.callbacks`
installs the tables, `optimizers` reads them inside the compiled step.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.models.groups import trained_groups
from smartgrowth.optim import schedules
from smartgrowth.stages import Plan


@dataclasses.dataclass(frozen=True)
class GroupRates:
    """How the variables of a layer group are trained otherwise than others.

    scale: of the learning rate. resets: steps before which their moments are
      set to zero, rising.
    """

    scale: float = 1.0
    resets: tuple[int, ...] = ()

    def until(self, step: int) -> "GroupRates":
        """Returns the same with only the resets up to a step."""
        past = tuple(reset for reset in self.resets if reset <= step)
        return dataclasses.replace(self, resets=past)


@dataclasses.dataclass(frozen=True, eq=False)
class RateTables:
    """What an optimizer looks up at every step of a run.

    rates, momenta: floats (steps,). groups: one for each layer group, or a
      single one for all. names: of those groups, if they are known.
    """

    rates: np.ndarray
    momenta: np.ndarray
    groups: tuple[GroupRates, ...] = (GroupRates(),)
    names: tuple[str, ...] = ()

    def at(self, step: int) -> dict[str, float]:
        """Returns rate and momentum with which batch `step` is learned."""
        return {
            "lr": float(self.rates[step]),
            "momentum": float(self.momenta[step]),
        }

    def of_groups(self, step: int) -> dict[str, float]:
        """Returns the rate of each layer group by column, if they differ."""
        scales = {group.scale for group in self.groups}
        if scales == {1.0} or not self.names:
            return {}
        return {
            f"lr_{name}": float(self.rates[step] * group.scale)
            for name, group in zip(self.names, self.groups, strict=True)
        }


def make_rate_tables(
    config: Config,
    plan: Plan,
    peak: float | Sequence[float],
    names: Sequence[str],
) -> RateTables:
    """Returns the tables of a whole run.

    Args:
      names: of the network's layer groups.
      peak: the highest learning rate; or one for each stage from the first
        one on, the last of which serves those that follow.

    Raises:
      UserError: `--cycle_epochs` is not one number of steps for one schedule,
        or `--lr_groups` has another number of values than there are groups.
    """
    stages = plan.stages
    if not np.isscalar(peak):
        peak = [*peak, *[peak[-1]] * (len(stages) - len(peak))]
    rates, momenta = schedules.make_tables(
        config.schedule,
        peak,
        [stage.steps for stage in stages],
        per_stage=config.schedule_scope == "stage",
        cycles=_cycles(config, plan),
        clock=_cost_clock(plan) if _runs_by_cost(config) else None,
        cycle_mult=config.cycle_mult,
    )
    groups = tuple(
        GroupRates(scale, _resets(config, plan, names, place))
        for place, scale in enumerate(rate_scales(config, names))
    )
    return RateTables(rates, momenta, groups, tuple(names))


def rate_scales(config: Config, names: Sequence[str]) -> tuple[float, ...]:
    """Returns by what the learning rate of each layer group is multiplied.

    Args:
      names: of the groups.

    Raises:
      UserError: `--lr_groups` has another number of values.
    """
    given = config.lr_groups
    if given is None:
        return (1.0,) * len(names)
    if isinstance(given, str):  # such as 3x
        factor = float(given.removesuffix("x"))
        return tuple(factor ** -(len(names) - 1 - i) for i in range(len(names)))
    if len(given) != len(names):
        raise UserError(
            f"--lr_groups has {len(given)} values, --model={config.model} "
            f"{len(names)} layer groups: {', '.join(names)}; give one for "
            "each, or a factor such as 3x"
        )
    return given


def newly_trained(
    plan: Plan, index: int, names: Sequence[str]
) -> tuple[str, ...]:
    """Returns the groups that a stage trains and the one before it did not.

    Nothing is new in the first stage.
    """
    if not index:
        return ()
    before, now = (
        trained_groups(names, plan.stages[i].trainable)
        for i in (index - 1, index)
    )
    return tuple(name for name in now if name not in before)


def _resets(
    config: Config, plan: Plan, names: Sequence[str], place: int
) -> tuple[int, ...]:
    """Returns the steps before which a group's moments are set to zero."""
    return tuple(
        stage.first_step
        for stage in plan.stages[1:]
        if config.stage_restart != "none"
        or names[place] in newly_trained(plan, stage.index, names)
    )


def _runs_by_cost(config: Config) -> bool:
    """Whether the schedule proceeds by cost.

    Of a stage, whose steps cost the same, one by steps is none other.
    """
    return config.schedule_clock == "cost" and config.schedule_scope == "run"


def _cost_clock(plan: Plan) -> tuple[np.ndarray, float]:
    """Returns the cost before every step, (steps,), and that of the run.

    In steps of the last stage, the unit of `--cycle_len`: what is still to be
    decided then changes neither.
    """
    unit = plan.step_flops(plan.stages[-1])
    spent, parts = 0, []
    for stage in plan.stages:
        price, once = plan.step_flops(stage), plan.once_flops_of(stage)
        begin = spent + once
        parts.append([(begin + n * price) / unit for n in range(stage.steps)])
        spent += plan.flops_of(stage)
    return np.concatenate(parts), plan.planned_flops / unit


def _cycles(config: Config, plan: Plan) -> list[int | None]:
    """Returns the steps of each stage's first cycle; None: the whole stage.

    By cost, there is one schedule and its steps are the last stage's.
    """
    if config.cycle_epochs is None:
        return [config.cycle_len] * len(plan.stages)
    cycles = [
        max(round(config.cycle_epochs * images / stage.batch_size), 1)
        for images, stage in zip(plan.pass_images, plan.stages, strict=True)
    ]
    if _runs_by_cost(config):
        return cycles[-1:]
    if config.schedule_scope == "run" and len(set(cycles)) > 1:
        steps = ", ".join(map(str, cycles))
        raise UserError(
            f"--cycle_epochs={config.cycle_epochs:g} is {steps} steps in the "
            "stages of this plan, and one schedule runs through all of them; "
            "give --schedule_scope=stage, or --cycle_len in steps"
        )
    return cycles
