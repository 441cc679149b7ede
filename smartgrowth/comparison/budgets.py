"""What every arm may cost: as many GFLOPs, images or seconds as the baseline.

Budgets are returned in GFLOPs, since plans are scaled to a number of GFLOPs.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from smartgrowth import UserError
from smartgrowth.comparison.arms import (
    CALIBRATION,
    Arm,
    Trial,
    folder_of,
    make_trial,
    trial_config,
)
from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.data.store import Data
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.reader import read_metrics
from smartgrowth.stages import Plan

CALIBRATION_STEPS = 50  # per stage; the first step is not timed


@dataclasses.dataclass(frozen=True)
class Speed:
    """An arm's training time here: fixed seconds, and seconds per GFLOP."""

    fixed: float
    per_gflop: float

    def seconds(self, gflops: float) -> float:
        return self.fixed + gflops * self.per_gflop

    def gflops(self, seconds: float) -> float:
        """Returns what can be trained in that time; at most 0 if nothing."""
        return (seconds - self.fixed) / self.per_gflop


def check_equality(arms: Sequence[Arm], equal: str) -> None:
    """Raises `UserError` if it is not known what an arm takes of `equal`."""
    for arm in arms:
        if arm.config and arm.config.decides_growth and equal != "gflops":
            raise UserError(
                f"{arm.name}: how many {equal} --grow_when=auto takes is not "
                "known beforehand; give --equal=gflops"
            )


def plan_calibrations(
    arms: Sequence[Arm], opened: Mapping, common: Config
) -> list[Trial]:
    """Returns a short run of every arm to be trained, to time its stages."""
    trials = []
    for arm in arms:
        if arm.config:
            config = trial_config(arm, folder_of(common, arm) / CALIBRATION)
            config = config.with_steps(
                CALIBRATION_STEPS, evals=1, seed=common.seed
            )
            trials.append(
                make_trial(arm, config, 1.0, opened[arm.name], common.restart)
            )
    return trials


def measure_speeds(
    arms: Sequence[Arm], opened: Mapping, calibrations: Sequence[Trial]
) -> dict[str, Speed]:
    """Returns the speed of every arm, from its finished calibration."""
    speeds = {}
    configs = {arm.name: arm.config for arm in arms}
    for trial in calibrations:
        times = read_metrics(trial.directory)
        plan = make_plan(configs[trial.arm], opened[trial.arm])
        with parsing(trial.directory / files.METRICS):
            speeds[trial.arm] = _speed(
                plan,
                trial.description["stages"],
                times["stage_seconds"],
                times["boundary_seconds"],
            )
    return speeds


def _speed(plan: Plan, measured, spent, first) -> Speed:
    """Returns the speed of `plan`, from the stages of a calibration.

    measured: the stages. spent, first: seconds of each, and of its boundary.
    """
    seconds = 0.0
    for stage, timed, whole, boundary in zip(
        plan.stages, measured, spent, first, strict=True
    ):
        # A stage's first batch includes compilation, a fixed cost.
        gflops = timed["gflops"] * (1 - 1 / timed["steps"])
        seconds += plan.gflops_of(stage) * (whole - boundary) / gflops
    return Speed(sum(first), seconds / plan.gflops())


def equal_budgets(
    arms: Sequence[Arm],
    opened: Mapping,
    comparison: Comparison,
    total: float | None,
    speeds: Mapping[str, Speed],
) -> dict[tuple[str, float], float]:
    """Returns GFLOPs by arm and share of the budget, for arms to be trained.

    Args:
      arms: the baseline first.
      opened: data by arm.
      comparison: its budgets, and what is to be equal.
      total: the baseline's GFLOPs; None for those of its plan or runs.
      speeds: by arm, if seconds are to be equal.

    Raises:
      UserError: a budget is too small for an arm.
    """
    trained = [arm for arm in arms if arm.config]
    exchange = {
        "gflops": lambda arm, gflops: gflops,
        "images": lambda arm, images: _gflops_for_images(arm, opened, images),
        "seconds": lambda arm, seconds: speeds[arm.name].gflops(seconds),
    }[comparison.equal]
    budgets = {}
    for share in comparison.budgets:
        spent = _baseline(arms[0], opened, share, total, speeds)
        for arm in trained:
            gflops = spent["gflops"]
            if arm is not arms[0]:
                gflops = exchange(arm, spent[comparison.equal])
            if gflops <= 0:
                raise UserError(
                    f"{arm.name}: compiling alone takes longer than the "
                    f"baseline's {spent['seconds']:.1f} s; raise "
                    "--budget_gflops"
                )
            budgets[arm.name, share] = gflops
    return budgets


def _baseline(arm, opened, share, total, speeds) -> dict[str, float]:
    """Returns the baseline's cost at a share of its budget, in every unit."""
    if arm.config:
        if total is None:
            total = make_plan(arm.config, opened[arm.name]).gflops()
        spent = {
            "gflops": share * total,
            "images": _images(arm, opened, share * total),
        }
        if speeds:
            spent["seconds"] = speeds[arm.name].seconds(share * total)
        return spent
    runs = [read_metrics(run) for run in arm.runs]
    for directory, run in zip(arm.runs, runs, strict=True):
        with parsing(directory / files.METRICS):
            for kind in KINDS.values():
                require(kind.metric in run, f"it has no `{kind.metric}`")
    most = max(run["gflops"] for run in runs)
    runs = [run for run in runs if run["gflops"] > 0.99 * most]
    part = share * (total or most) / most
    return {
        name: part * statistics.fmean(run[kind.metric] for run in runs)
        for name, kind in KINDS.items()
    }


def make_plan(config: Config, opened: Data) -> Plan:
    """Returns the plan of `config` on its data."""
    return make_experiment(config, opened).plan


def _images(arm: Arm, opened: Mapping, gflops: float) -> int:
    config = dataclasses.replace(arm.config, budget_gflops=gflops)
    try:
        plan = make_plan(config, opened[arm.name])
    except UserError as error:
        raise UserError(f"{arm.name}: {error}") from None
    return plan.images_seen(plan.steps)


def _gflops_for_images(arm: Arm, opened: Mapping, images: float) -> float:
    """Returns the GFLOPs at which the arm sees that many images.

    It is found to about half a batch, by repeated scaling: cost is not quite
    in proportion to images, since every stage has at least one step.
    """
    plan = make_plan(arm.config, opened[arm.name])
    gflops = plan.gflops() * images / plan.images_seen(plan.steps)
    for _ in range(10):
        seen = _images(arm, opened, gflops)
        if abs(seen - images) <= max(arm.config.batch_size) / 2:
            break
        gflops *= images / seen
    return gflops
