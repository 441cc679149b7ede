"""The part of a comparison that one of several machines trains.

Every machine computes the same partition, from the plans alone: none asks
another, and no lock is trusted. They need no more than a folder that is
synchronized sooner or later.
"""

from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.settings import parse_shard
from smartgrowth.runs import files
from smartgrowth.runs.directory import find_plan
from smartgrowth.runs.identity import differences
from smartgrowth.runs.parse import parsing, read_arrays, require
from smartgrowth.runs.reader import read_run


def partition(trials: Sequence[Trial], count: int) -> list[list[Trial]]:
    """Returns the trials that are trained here, in parts of about equal cost.

    The costliest first, each goes to the part that costs least so far. Within a
    part they keep their order. What is finished counts like what is not, so
    that the parts never change.
    """
    places = [
        place for place, trial in enumerate(trials) if trial.config is not None
    ]
    parts, costs = [[] for _ in range(count)], [0.0] * count
    for place in sorted(places, key=lambda at: (-trials[at].gflops, at)):
        least = costs.index(min(costs))
        parts[least].append(place)
        costs[least] += trials[place].gflops
    return [[trials[place] for place in sorted(part)] for part in parts]


def choose(trials: Sequence[Trial], shard: str) -> list[Trial]:
    """Returns the trials of a shard K/N; none for "all".

    Raises:
      UserError: there are more shards than runs to train.
    """
    number, count = parse_shard(shard)
    if not count:
        return []
    runs = sum(trial.config is not None for trial in trials)
    if not runs:
        raise UserError(
            f"--shard={shard}: all arms are finished runs, there is nothing to "
            "train; leave it out"
        )
    if count > runs:
        raise UserError(
            f"--shard={shard}: there are only {runs} runs to train; give at "
            f"most --shard=K/{runs}"
        )
    return partition(trials, count)[number - 1]


def has_arrived(trial: Trial) -> bool:
    """Returns whether a run is finished, and all of it is here.

    A folder that is synchronized late may have its last file before others, or
    another plan's run.
    """
    if trial.config is None:  # named by its folder
        return True
    plan = find_plan(trial.directory)
    if not (trial.finished and plan) or differences(
        plan, trial.description, finished=True
    ):
        return False
    path = trial.directory / files.PREDICTIONS
    try:
        read_run(trial.directory)
        with parsing(path):
            require(path.exists(), "it is missing")
        read_arrays(path, {"labels": 1, "probabilities": 2})
    except UserError:
        return False
    return True


def name_missing(
    missing: Sequence[Trial], trials: Sequence[Trial], shard: str
) -> list[str]:
    """Returns a line for each shard whose runs are missing, with these."""
    _, count = parse_shard(shard)
    if not count:
        return [", ".join(trial.name for trial in missing)]
    return [
        f"--shard={number}/{count}: {', '.join(names)}"
        for number, part in enumerate(partition(trials, count), start=1)
        if (names := [trial.name for trial in missing if trial in part])
    ]
