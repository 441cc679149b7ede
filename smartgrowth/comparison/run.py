"""Compares arms at equal cost over seeds: trains missing runs, then reports.

No TensorFlow here: every run is a process with its own run directory. A crash
loses the last minutes of one run, and the same command continues.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from smartgrowth import UserError
from smartgrowth.comparison import (
    arms,
    budgets,
    comparable,
    looks,
    report,
    runner,
    shards,
    summary,
)
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.cluster import ClusterPool
from smartgrowth.comparison.costs import compare_costs
from smartgrowth.comparison.jobs import LocalPool, train_command
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.rendering.text import show
from smartgrowth.runs import files
from smartgrowth.runtime.reporter import say

WORKDIR = "runs/comparison"  # unless --workdir is given


def compare(
    common: Config,
    comparison: Comparison,
    given: Sequence[str],
    command: Callable[[Trial], list[str]] = train_command,
) -> pathlib.Path:
    """Trains what is missing, and writes the page, its tables and plots.

    Args:
      common: `workdir` holds the comparison; `seed` is the first seed.
      comparison: what is compared, and how.
      given: flag lines that are added to every arm.
      command: returns the command that trains a trial.

    Returns:
      The path of comparison.html; with `--shard`, of the folder if no run of
      the baseline is there yet.

    Raises:
      UserError: the arms cannot be compared, or runs failed. After failed
        runs the page is still written if any run of the baseline finished.
    """
    if not any(line.startswith("--workdir=") for line in given):
        common = dataclasses.replace(common, workdir=WORKDIR)
    directory = pathlib.Path(common.workdir).expanduser()
    if (directory / files.PLAN).exists():
        raise UserError(
            f"--workdir={common.workdir} is a single run's; name another "
            "folder for the comparison, which will hold all its runs"
        )
    trials = _plan(common, comparison, given, command)
    own = trials
    if comparison.shard:
        own = shards.choose(trials, comparison.shard)
    for trial in own:
        if trial.refusal:
            raise UserError(trial.refusal)
    _make(directory)
    chosen = looks.record(directory, trials)
    failed = _train(own, comparison, command, directory)
    missing = _find_missing(trials, comparison.shard)
    while True:
        page = _report(trials, missing, failed, comparison, chosen, directory)
        # What another shard finished meanwhile is not on its page, if that was
        # written before this one.
        left = _find_missing(missing, comparison.shard)
        if len(left) == len(missing):
            break
        missing = left
    _raise_failed(failed, own)
    return page


def _plan(common, comparison: Comparison, given, command) -> list[Trial]:
    """Returns all trials, of arms that can be compared."""
    compared = arms.read_arms(comparison.arms, given)
    budgets.check_equality(compared, comparison.equal)
    opened = arms.open_stores(compared)
    speeds = {}
    if comparison.equal == "seconds":
        speeds = _measure(compared, opened, common, command)
    gflops = budgets.equal_budgets(
        compared, opened, comparison, common.budget_gflops, speeds
    )
    trials = arms.plan_trials(compared, opened, comparison, common, gflops)
    comparable.check_same_task(trials)
    comparable.check_same_conditions(trials)
    return trials


def _train(
    trials: Sequence[Trial], comparison: Comparison, command, directory
) -> list[Trial]:
    """Trains what is not finished; returns what failed."""
    for trial in trials:
        if trial.config and trial.config.restart:
            # These metrics are another plan's. The run deletes the rest itself.
            (trial.directory / files.METRICS).unlink(missing_ok=True)
    if not trials:
        return []
    forecast = runner.Forecast([trial for trial in trials if trial.finished])
    with _make_pool(comparison, command, trials, directory) as pool:
        say(_announce(trials, pool.capacity, forecast))
        return runner.train_all(trials, pool, forecast)


def _find_missing(trials: Sequence[Trial], shard: str | None) -> list[Trial]:
    """Returns what other shards have not finished yet."""
    if not shard:
        return []
    return [each for each in trials if not shards.has_arrived(each)]


def _report(
    trials, missing, failed, comparison: Comparison, chosen, directory
) -> pathlib.Path:
    """Writes the page of what is there; says what it shows, and what is not.

    Returns:
      Its path; the folder's if no run of the baseline is there yet.
    """
    if missing:
        lines = shards.name_missing(missing, trials, comparison.shard)
        say(
            f"{len(missing)} of {len(trials)} runs are not here yet:\n  "
            + "\n  ".join(lines)
        )
    arrived = [trial for trial in trials if trial not in missing]
    if missing and not any(each.arm == trials[0].arm for each in arrived):
        say("there is no page without a run of the baseline")
        return directory
    figures = summary.read_figures(
        arrived, comparison.target, comparison.jobs, comparison.equal, chosen
    )
    equal, costs = compare_costs(figures)
    if not equal:
        say(f"warning: {costs}")
    for difference in comparable.differences(figures.runs):
        say(f"warning: {difference}")
    page = report.write_report(directory, figures, failed, missing)
    for verdict in figures.verdicts.values():
        say(verdict.sentence)
    say(f"comparison: {page}")
    return page


def _raise_failed(failed: Sequence[Trial], trials: Sequence[Trial]) -> None:
    if failed:
        names = ", ".join(trial.name for trial in failed)
        raise UserError(
            f"{len(failed)} of {len(trials)} runs failed ({names}); the same "
            "command tries them again"
        )


def _measure(compared, opened, common, command) -> dict[str, budgets.Speed]:
    """Measures every arm's speed, once."""
    trials = budgets.plan_calibrations(compared, opened, common)
    missing = [trial for trial in trials if not trial.finished]
    _make(pathlib.Path(common.workdir).expanduser())
    if missing:
        say(f"timing {', '.join(trial.arm for trial in missing)} first")
    pool = LocalPool(1, command)
    if failed := runner.train_all(trials, pool, runner.Forecast()):
        names = ", ".join(trial.arm for trial in failed)
        raise UserError(f"could not time {names}; see above")
    return budgets.measure_speeds(compared, opened, trials)


def _make_pool(comparison: Comparison, command, trials, folder: pathlib.Path):
    """Returns what trains: this machine, or a cluster if anything is left."""
    if comparison.cluster and not all(trial.finished for trial in trials):
        return ClusterPool(comparison.cluster, folder)
    left = sum(not trial.finished for trial in trials)
    return LocalPool(max(min(comparison.jobs, left), 1), command)


def _announce(trials: Sequence[Trial], jobs: int, forecast) -> str:
    """Returns what is compared, which runs are left and how long they take."""
    names = list(dict.fromkeys(trial.arm for trial in trials))
    left = [trial for trial in trials if not trial.finished]
    text = (
        f"comparing {', '.join(names)}: {len(trials)} runs, "
        f"{len(trials) - len(left)} of them finished"
    )
    if not left:
        return text
    gflops = sum(trial.gflops for trial in left)
    at_once = f", {jobs} at once" if jobs > 1 else ""
    return (
        f"{text}\n{len(left)} left{at_once}: {show('gflops', gflops)}, "
        f"{forecast.say(left, jobs)}"
    )


def _make(directory: pathlib.Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir={directory}: {error.strerror or error}; name a folder "
            "that can be written"
        ) from error
