"""Learning rate and momentum of every step of a plan.

The one place that knows both schedules and stages. `training.callbacks`
installs the tables, `optimizers` reads them inside the compiled step.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.optim import schedules
from smartgrowth.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class RateTables:
    """What an optimizer looks up at every step of a run.

    rates, momenta: floats (steps,). resets: steps before which the
    optimizer's moments are set to zero, rising.
    """

    rates: np.ndarray
    momenta: np.ndarray
    resets: tuple[int, ...] = ()

    def at(self, step: int) -> dict[str, float]:
        """Returns rate and momentum with which batch `step` is learned."""
        return {
            "lr": float(self.rates[step]),
            "momentum": float(self.momenta[step]),
        }


def make_rate_tables(
    config: Config, plan: Plan, peak: float | Sequence[float]
) -> RateTables:
    """Returns the tables of a whole run.

    Args:
      peak: the highest learning rate; or one for each stage from the first
        one on, the last of which serves those that follow.

    Raises:
      UserError: `--cycle_epochs` is not one number of steps for one schedule.
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
        cycle_mult=config.cycle_mult,
    )
    resets = ()
    if config.stage_restart != "none":
        resets = tuple(stage.first_step for stage in stages[1:])
    return RateTables(rates, momenta, resets)


def _cycles(config: Config, plan: Plan) -> list[int | None]:
    """Returns the steps of each stage's first cycle; None: the whole stage."""
    if config.cycle_epochs is None:
        return [config.cycle_len] * len(plan.stages)
    cycles = [
        max(round(config.cycle_epochs * images / stage.batch_size), 1)
        for images, stage in zip(plan.pass_images, plan.stages, strict=True)
    ]
    if config.schedule_scope == "run" and len(set(cycles)) > 1:
        steps = ", ".join(map(str, cycles))
        raise UserError(
            f"--cycle_epochs={config.cycle_epochs:g} is {steps} steps in the "
            "stages of this plan, and one schedule runs through all of them; "
            "give --schedule_scope=stage, or --cycle_len in steps"
        )
    return cycles
