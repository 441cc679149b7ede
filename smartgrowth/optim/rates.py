"""Learning rate and momentum of every step of a plan."""

from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.optim import schedules
from smartgrowth.plan import Plan


def make_tables(
    config: Config, plan: Plan, rate: float | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rate and momentum of every step, as `schedules.make_tables`.

    rate: the highest; or one for each stage from the first one on, the last of
    which serves those that follow.
    """
    count = len(plan.stages)
    if not np.isscalar(rate):
        rate = [*rate, *[rate[-1]] * (count - len(rate))]
    return schedules.make_tables(
        config.schedule,
        rate,
        [stage.steps for stage in plan.stages],
        restart=config.schedule_scope == "stage",
        cycles=_cycles(config, plan),
        cycle_mult=config.cycle_mult,
    )


def _cycles(config: Config, plan: Plan) -> list[int | None]:
    """Steps of the first cycle in each stage; None for as long as it gets."""
    if config.cycle_epochs is None:
        return [config.cycle_len] * len(plan.stages)
    cycles = [
        max(round(config.cycle_epochs * s.num_images / s.batch_size), 1)
        for s in plan.stages
    ]
    if config.schedule_scope == "run" and len(set(cycles)) > 1:
        steps = ", ".join(map(str, cycles))
        raise UserError(
            f"--cycle_epochs={config.cycle_epochs:g} is {steps} steps in the "
            "stages of this plan, and one schedule runs through all of them; "
            "give --schedule_scope=stage, or --cycle_len in steps"
        )
    return cycles
