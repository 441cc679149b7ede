"""What was asked for before results were seen, and what was chosen after.

A p value holds for seeds and arms that were fixed beforehand. A comparison
keeps which ones it was asked for; what was chosen once results were seen is
named.
"""

import pathlib
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.comparison.arms import CALIBRATION, Trial
from smartgrowth.rendering.text import series
from smartgrowth.runs import files
from smartgrowth.runs.directory import is_finished
from smartgrowth.runs.reader import read_json

RECORD = "asked_for.json"


def record(directory: pathlib.Path, trials: Sequence[Trial]) -> str:
    """Records what is asked for; returns what was chosen after results.

    To be called before anything is trained. The same command again, after an
    interruption or not, chooses nothing. Nor does one that shares no run with
    those before, such as other seeds of all arms, or one that replaces all
    runs: it tests anew. What counts is the largest budget, which the verdicts
    are about.

    Args:
      directory: of the comparison; exists.
      trials: all of it; those that replace another plan's run have `restart`.

    Returns:
      A clause; "" if all was fixed beforehand.

    Raises:
      UserError: the record cannot be read or written.
    """
    path = directory / RECORD
    kept = _read(path)
    unseen = not _has_results(directory, trials)
    if fresh := unseen or all(map(_replaces, trials)):
        kept = {}
    now = _asked(trials)
    try:
        # Looks are sets of runs that were asked for together, the first first.
        fixed, later = kept.get("fixed", []), kept.get("later", [])
        replaced = {*kept.get("replaced", [])}
        fixed_here, later_here = (
            [look for look in looks if look["budget"] == now["budget"]]
            for looks in (fixed, later)
        )
        seen = set().union(*map(_runs, fixed_here + later_here))
        clauses = []
        if now not in fixed_here:
            if not seen & _runs(now):
                fixed = [*fixed, now]
            else:
                later = later if now in later else [*later, now]
                before = next(
                    (look for look in fixed_here if _runs(look) & _runs(now)),
                    fixed_here[0],
                )
                clauses.append(_choice(before, now))
    except (AttributeError, LookupError, TypeError) as error:
        raise _malformed(path) from error
    if not fresh:
        replaced |= {t.arm for t in trials if t.finished and _replaces(t)}
    if again := [arm for arm in now["arms"] if arm in replaced]:
        clauses.append(
            f"{', '.join(again)} got other flags after results had been seen"
        )
    try:
        files.write_json(
            path,
            {"fixed": fixed, "later": later, "replaced": sorted(replaced)},
        )
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); make room "
            "there and give the command again"
        ) from error
    return "; ".join(clauses)


def _read(path: pathlib.Path) -> dict:
    try:
        return read_json(path)
    except UserError as error:
        raise _malformed(path) from error


def _malformed(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} is malformed; put back what the comparison wrote, or delete "
        "it: then nothing is known of what was asked for before"
    )


def _asked(trials: Sequence[Trial]) -> dict:
    """Returns the baseline, and the seeds by arm, at the largest budget."""
    budget, arms = max(trial.budget for trial in trials), {}
    for trial in trials:
        if trial.budget == budget:
            arms.setdefault(trial.arm, []).append(trial.seed)
    arms = {arm: sorted(seeds) for arm, seeds in arms.items()}
    return {"budget": budget, "baseline": trials[0].arm, "arms": arms}


def _runs(look: dict) -> set[tuple[str, int]]:
    return {
        (arm, seed) for arm, seeds in look["arms"].items() for seed in seeds
    }


def _replaces(trial: Trial) -> bool:
    return bool(trial.config and trial.config.restart)


def _has_results(directory: pathlib.Path, trials: Sequence[Trial]) -> bool:
    """Returns whether any run's result can have been seen."""
    plans = directory.rglob(files.PLAN)
    runs = (path.parent for path in plans if path.parent.name != CALIBRATION)
    return any(trial.finished for trial in trials) or any(
        map(is_finished, runs)
    )


def _choice(before: dict, now: dict) -> str:
    """Returns how `now` differs from what was asked for `before`, as text."""
    both = [arm for arm in now["arms"] if arm in before["arms"]]
    changes = []
    for one, other, what in (
        (now["arms"], before["arms"], "added"),
        (before["arms"], now["arms"], "left out"),
    ):
        seeds = {seed for arm in both for seed in {*one[arm]} - {*other[arm]}}
        if seeds:
            plural = "seeds", "were"
            noun, verb = plural if len(seeds) > 1 else ("seed", "was")
            changes.append(f"{noun} {series(seeds)} {verb} {what}")
        if arms := [arm for arm in one if arm not in other]:
            verb = "were" if len(arms) > 1 else "was"
            changes.append(f"{', '.join(arms)} {verb} {what}")
    if now["baseline"] != before["baseline"]:
        changes.append(f"{now['baseline']} was made the baseline")
    seeds = {seed for each in before["arms"].values() for seed in each}
    noun = "seeds" if len(seeds) > 1 else "seed"
    return (
        f"{' and '.join(changes)} after the results of {noun} {series(seeds)} "
        f"of {', '.join(before['arms'])} had been seen"
    )
