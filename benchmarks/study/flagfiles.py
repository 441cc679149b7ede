"""The study's flagfiles: one for every arm, and one for every comparison."""

import hashlib
import pathlib
from collections.abc import Sequence

import protocol
from protocol import COMPARISONS, FLAGS
from tables import best_trial, read_trials


def make_flagfiles() -> dict[str, str]:
    """Returns a flagfile for every arm whose recipe is known: path -> text.

    And one for every comparison that has such arms. Paths are from the root of
    the repository.
    """
    table, made = read_trials(), {}
    for comparison in COMPARISONS:
        base = best_trial(table, comparison, "baseline")
        own = {}
        for arm in comparison.arms:
            best = best_trial(table, comparison, arm.recipe)
            if best and base:
                about = [f"Against {arm.against}: {arm.asks}"] * bool(arm.asks)
                path = comparison.flagfile(arm.name)
                lines = comparison.flag_lines(arm, best, base)
                own[path] = _format(path, about, lines)
        made |= own
        # What --mode=compare can train by itself, at equal GFLOPs.
        compared = [
            comparison.flagfile(arm.name)
            for arm in comparison.arms
            if comparison.flagfile(arm.name) in own
            and not (arm.in_seconds or arm.name.endswith("_yoked"))
        ]
        if compared:
            path = f"{FLAGS}/{comparison.name}.flags"
            lines = [
                "--mode=compare",
                f"--arms={','.join(compared)}",
                f"--seeds={protocol.SEEDS}",
                f"--budget_gflops={comparison.budget}",
                f"--workdir={comparison.folder}",
            ]
            made[path] = _format(path, [], lines)
    return made


def _format(path: str, about: Sequence[str], lines: Sequence[str]) -> str:
    command = f"python -m smartgrowth.main --flagfile={path}"
    comments = [f"# {line}" for line in (command, *about)]
    return "\n".join([*comments, *lines, ""])


def write_flagfiles() -> None:
    """Writes what `make_flagfiles` returns."""
    for path, text in make_flagfiles().items():
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(text)


def digest_flags(path: str) -> str:
    """Returns what ties a row to its flagfile."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:12]
