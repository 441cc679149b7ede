"""What a comparison consists of: arms, and a trial for each seed and budget.

An arm is a flagfile, trained here, or a folder of finished runs. Nothing here
trains or reads results.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from smartgrowth import UserError, planning
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.data.load import open_images, store
from smartgrowth.experiment import make_experiment
from smartgrowth.names import clean
from smartgrowth.runs import files
from smartgrowth.runs.directory import check, is_finished
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.reader import read_plan

# Flags that belong to the comparison, or to each trial alone.
OWN = ("mode", "workdir", "restart", "seed", "budget_gflops", "images")
CALIBRATION = "calibration"  # folder of an arm's timing run


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
      config: of its flagfile and the flags for all; None for finished runs.
      runs: directories of its finished runs.
    """

    name: str
    config: Config | None = None
    runs: tuple[pathlib.Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a comparison.

    Attributes:
      arm: the arm's name.
      budget: share of the whole budget, above 0, at most 1.
      description: what plan.json holds, or will hold.
      config: to train it with; None if it is only read.
      refusal: why its folder cannot be trained in, or "".
    """

    arm: str
    seed: int
    budget: float
    directory: pathlib.Path
    description: dict
    config: Config | None = None
    refusal: str = ""

    @property
    def name(self) -> str:
        at = "" if self.budget == 1 else f" at {self.budget:g} of the budget"
        return f"{self.arm} seed {self.seed}{at}"

    @property
    def gflops(self) -> float:
        return self.description["gflops"]

    @property
    def finished(self) -> bool:
        return is_finished(self.directory)


def read_arms(entries: Sequence[str], common: Sequence[str]) -> list[Arm]:
    """Returns the arms that `--arms` names, the baseline first.

    Args:
      entries: flagfiles or folders of finished runs.
      common: flag lines that are added to every flagfile.

    Raises:
      UserError: an entry is neither a flagfile nor holds a finished run, or a
        flag in it is wrong.
    """
    lines = [
        line
        for line in common
        if line.removeprefix("--").partition("=")[0] not in OWN
    ]
    arms, names = [], set()
    for entry in entries:
        path = pathlib.Path(entry).expanduser()
        name = base = _name(path)
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.add(name)
        if path.is_dir():
            arms.append(Arm(name, runs=_finished_runs(path)))
            continue
        if not path.is_file():
            raise UserError(
                f"--arms: {entry} is neither a flagfile nor a folder of "
                "finished runs"
            )
        try:
            config = from_flag_lines([f"--flagfile={path}", *lines])
        except UserError as error:
            raise UserError(f"--arms: {entry}: {error}") from None
        arms.append(Arm(name, config))
    return arms


def open_stores(arms: Sequence[Arm]) -> dict[str, store.Data]:
    """Returns the data of every arm that will be trained: name -> data.

    A dataset's images are decoded once, at the sizes of all arms.
    """
    groups: dict[tuple, list[Config]] = {}
    for arm in arms:
        if arm.config:
            groups.setdefault(_source(arm.config), []).append(arm.config)
    opened = {}
    for source, configs in groups.items():
        sizes = set().union(*map(planning.check_sizes, configs))
        opened[source] = open_images(configs[0], sizes)
    return {arm.name: opened[_source(arm.config)] for arm in arms if arm.config}


def plan_trials(
    arms: Sequence[Arm],
    opened: Mapping[str, store.Data],
    comparison: Comparison,
    common: Config,
    gflops: Mapping[tuple[str, float], float],
) -> list[Trial]:
    """Returns all trials in training order: every arm's first seed first.

    The first trial is the baseline's.

    Args:
      opened: data by arm.
      common: its `seed` is the first one, its `workdir` the comparison's, and
        its `restart` lets runs of another plan be deleted.
      gflops: the cost of each arm at each budget.

    Raises:
      UserError: a config is not valid on its arm's data.
    """
    trials, read = [], set()
    for seed in range(common.seed, common.seed + comparison.seeds):
        for budget in sorted(set(comparison.budgets), reverse=True):
            for arm in arms:
                if not arm.config:
                    if arm.name not in read:
                        trials += _read_trials(arm)
                    read.add(arm.name)
                    continue
                directory = folder_of(common, arm) / f"seed{seed}"
                if budget < 1:
                    directory /= f"budget{budget:g}"
                config = dataclasses.replace(
                    trial_config(arm, directory),
                    seed=seed,
                    budget_gflops=gflops[arm.name, budget],
                )
                trials.append(
                    make_trial(
                        arm, config, budget, opened[arm.name], common.restart
                    )
                )
    return trials


def make_trial(
    arm: Arm, config: Config, budget: float, opened, restart: bool
) -> Trial:
    """Returns the trial of `config`, checked against its folder.

    It is refused if that holds another plan's run, and `restart` does not let
    it be deleted.

    Raises:
      UserError: the config is not valid on the arm's data `opened`.
    """
    refusal = ""
    try:
        description = make_experiment(config, opened).description
    except UserError as error:
        raise UserError(f"{arm.name}: {error}") from None
    try:
        check(config, description)
    except UserError as error:
        refusal = "" if restart else f"{arm.name}: {error}"
        config = dataclasses.replace(config, restart=restart)
    directory = pathlib.Path(config.workdir)
    return Trial(
        arm.name,
        config.seed,
        budget,
        directory,
        description,
        config,
        refusal,
    )


def trial_config(arm: Arm, directory: pathlib.Path) -> Config:
    """Returns the arm's config for a run in `directory`."""
    return dataclasses.replace(
        arm.config,
        mode="train",
        workdir=str(directory),
        restart=False,
        images=None,
    )


def folder_of(common: Config, arm: Arm) -> pathlib.Path:
    """Returns the folder of an arm's runs."""
    return pathlib.Path(common.workdir).expanduser() / arm.name


def _name(path: pathlib.Path) -> str:
    """Returns an arm's name; a run's own flagfile has the run's name."""
    path = path.resolve()
    path = path.parent if path.name == files.FLAGS else path
    return clean(path.name if path.is_dir() else path.stem)


def _source(config: Config) -> tuple:
    images = config.dataset, config.data_dir, config.cache_dir, config.classes
    taken = config.drop_leaks, config.hold_out, config.max_bad_fraction
    return *images, config.taxonomy, *taken


def _finished_runs(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    planned = sorted(
        path.parent
        for path in folder.rglob(files.PLAN)
        if path.parent.name != CALIBRATION
    )
    runs = tuple(path for path in planned if is_finished(path))
    if not runs:
        what = "no run" if not planned else "no run that is finished"
        raise UserError(
            f"--arms: {folder} holds {what}; name a flagfile, or the --workdir "
            "of a finished run"
        )
    return runs


def _read_trials(arm: Arm) -> list[Trial]:
    """Returns trials of finished runs; the costliest had the whole budget."""
    trials = []
    for directory in arm.runs:
        path = directory / files.PLAN
        description = read_plan(directory)
        with parsing(path):
            seed = int(description["identity"]["seed"])
            require(description["gflops"] > 0, "`gflops` is not above 0")
        trials.append(Trial(arm.name, seed, 1.0, directory, description))
    most = max((trial.gflops for trial in trials), default=0)
    trials = [
        dataclasses.replace(trial, budget=round(trial.gflops / most, 2))
        for trial in trials
    ]
    seen = {}
    for trial in trials:
        twin = seen.setdefault((trial.seed, trial.budget), trial)
        if twin is not trial:
            raise UserError(
                f"--arms: {twin.directory} and {trial.directory} are both "
                f"{trial.name}; leave one out"
            )
    return trials
