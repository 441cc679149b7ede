"""Runs the study of PROTOCOL.md: what is missing, and nothing twice.

    python benchmarks/study/study.py tune --data_dir=ZIP [--jobs=2]
    python benchmarks/study/study.py run --data_dir=ZIP [--jobs=2]

`tune` chooses the recipes on images held out of training, and writes the
flagfiles; `run` trains the arms. Both may be stopped at any time: the same
command goes on. Finished runs are rows of tuning.csv, runs.csv and
correct_images.csv, beside this file; what is in there is not trained again, on
whatever machine. So several machines may share the work, each with other
`--only=` or another `--shard=K/N`, if their rows are put together afterwards.
`report.py` makes STUDY.md of them.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import protocol
from arms import Arm
from protocol import COMPARISONS, TRIALS, Comparison
from tables import (
    RUN_COLUMNS,
    RUN_FIGURES,
    best_trial,
    key_of,
    pack_correct,
    read_runs,
    read_trials,
)

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison import arms as compared_arms
from smartgrowth.comparison import runner
from smartgrowth.comparison.correct_images import ARRAYS
from smartgrowth.comparison.jobs import OUTPUT, LocalPool
from smartgrowth.comparison.settings import parse_shard
from smartgrowth.runs import files
from smartgrowth.runs.directory import is_finished
from smartgrowth.runs.parse import read_arrays
from smartgrowth.runs.reader import read_metrics
from smartgrowth.runtime.reporter import say

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = "benchmarks/study/flags"  # from there
DIVERGED = "learning diverged"  # in the last lines of such a run
# Of runs.csv, of a run that diverged: wrong on every image.
NOTHING = dict.fromkeys(RUN_COLUMNS, "") | {"accuracy": 0.0}


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
                path = flagfile(comparison, arm.name)
                lines = comparison.flag_lines(arm, best, base)
                own[path] = _flagfile(path, about, lines)
        made |= own
        # What --mode=compare can train by itself, at equal GFLOPs.
        compared = [
            flagfile(comparison, arm.name)
            for arm in comparison.arms
            if flagfile(comparison, arm.name) in own
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
            made[path] = _flagfile(path, [], lines)
    return made


def _flagfile(path: str, about: Sequence[str], lines: Sequence[str]) -> str:
    command = f"python -m smartgrowth.main --flagfile={path}"
    comments = [f"# {line}" for line in (command, *about)]
    return "\n".join([*comments, *lines, ""])


def write_flagfiles() -> None:
    """Writes what `make_flagfiles` returns."""
    for path, text in make_flagfiles().items():
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(text)


def flagfile(comparison: Comparison, arm: str) -> str:
    """Returns the path of an arm's flagfile from the root."""
    return f"{FLAGS}/{comparison.name}/{arm}.flags"


class Runs:
    """Trains configs, each in a process of its own, and collects their rows.

    Args:
      options: lines that hold for all runs here, such as --data_dir.
      jobs: runs at once.

    Attributes:
      failed: names of runs that did not end; the others go on.
    """

    def __init__(self, options: Sequence[str], jobs: int):
        self.options, self.jobs = list(options), jobs
        self.opened, self.failed = None, []

    def open(self, lines: Sequence[str]) -> None:
        """Opens what these flags name at all sizes that any arm uses."""
        wide = compared_arms.Arm(
            "all", self.config([*lines, "--grow_size=16,24,32"])
        )
        self.opened = compared_arms.open_stores([wide])["all"]

    def config(self, lines: Sequence[str]):
        return from_flag_lines([*lines, *self.options])

    def train(
        self,
        wanted: Mapping[tuple[str, int], Sequence[str]],
        collect: Callable[[str, int, pathlib.Path, bool], None],
    ) -> None:
        """Trains what is not finished; collects each run as it ends.

        Args:
          wanted: name and number of a run -> its flags.
          collect: gets both, the run directory, and whether the run diverged.
        """
        made, keys = [], {}
        for (name, number), lines in wanted.items():
            try:
                config = self.config(lines)
                trial = compared_arms.make_trial(
                    compared_arms.Arm(name, config),
                    config,
                    1.0,
                    self.opened,
                    restart=False,
                )
                if trial.refusal:
                    raise UserError(trial.refusal)
            except UserError as error:  # the others go on
                say(f"{name} {number} cannot be trained: {error}")
                self.failed.append(f"{name} {number}")
                continue
            made.append(trial)
            keys[trial.directory] = name, number
        finished = [trial for trial in made if trial.finished]
        for trial in finished:
            collect(*keys[trial.directory], trial.directory, False)
        failed = runner.train_all(
            made,
            LocalPool(self.jobs),
            runner.Forecast(finished),
            lambda trial: collect(
                *keys[trial.directory], trial.directory, False
            ),
        )
        for trial in failed:
            if _diverged(trial.directory):
                collect(*keys[trial.directory], trial.directory, True)
            else:
                self.failed.append(trial.name)

    def nothing_right(self) -> dict:
        """Returns what `read_correct` would of a run with no image right."""
        validation = self.opened.validation
        right = np.zeros(len(validation.labels), bool)
        return {
            "images": name_images(validation.ids, validation.labels),
            "correct": pack_correct(right),
        }


def _diverged(directory: pathlib.Path) -> bool:
    """Returns whether a run stopped since its loss was no longer finite."""
    output = (directory / OUTPUT).read_text("utf-8", "replace")
    return any(DIVERGED in line for line in output.splitlines()[-8:])


def tune(runs: Runs, chosen: Callable[[Comparison, str], bool]) -> None:
    """Trains every trial of every recipe, on images held out of training."""
    table = read_trials()
    held_out = (
        f"--hold_out={protocol.HELD_OUT}",
        f"--seed={protocol.TUNING_SEED}",
    )
    for comparison in COMPARISONS:
        wanted = [
            (recipe, number)
            for recipe in comparison.recipes
            for number in range(len(TRIALS))
            if (*key_of(comparison), recipe, number) not in table
            and chosen(comparison, recipe)
        ]
        if not wanted:
            continue
        say(f"tuning on {comparison.name}: {len(wanted)} trials")
        runs.open([*comparison.dataset.flags, *held_out])
        lines = {}
        for recipe, number in wanted:
            arm, trial = comparison.by_name[recipe], TRIALS[number]
            lines[recipe, number] = [
                *comparison.flag_lines(arm, trial, trial),
                *held_out,
                "--workdir="
                f"runs/study/tuning/{comparison.name}/{recipe}_{number}",
            ]

        def collect(recipe, number, directory, diverged, comparison=comparison):
            metrics = {} if diverged else read_metrics(directory)
            values = dataclasses.asdict(TRIALS[number])
            table.add(
                {
                    "dataset": comparison.dataset.name,
                    "budget": comparison.budget,
                    "recipe": recipe,
                    "trial": number,
                    **{key: f"{value:g}" for key, value in values.items()},
                    "held_out_accuracy": metrics.get("val_accuracy", 0.0),
                    "gflops": metrics.get("gflops", ""),
                }
            )
            table.write()

        runs.train(lines, collect)
        write_flagfiles()


def run(
    runs: Runs,
    chosen: Callable[[Comparison, str], bool],
    shard: tuple[int, int] = (1, 1),
) -> None:
    """Trains every run of the protocol that has no row yet.

    shard: K and N; of the seeds, every N-th from the K-th on.
    """
    write_flagfiles()
    figures, correct = read_runs()
    for comparison in COMPARISONS:
        own = [arm for arm in comparison.arms if chosen(comparison, arm.name)]
        ready = [
            arm
            for arm in own
            if pathlib.Path(flagfile(comparison, arm.name)).exists()
        ]
        if len(ready) < len(own):
            names = [arm.name for arm in own if arm not in ready]
            say(f"{comparison.name}: not tuned yet: {', '.join(names)}")
        number, count = shard
        missing = {
            (arm.name, seed)
            for arm in ready
            for seed in protocol.seeds(arm)
            if seed % count == number - 1
            and not _is_there(figures, correct, comparison, arm, seed)
        }
        # Their own folders are read by the arms that repeat them.
        outside = [
            (name.replace("_yoked", "_auto"), protocol.OUTSIDE_SEED)
            for name in sorted({name for name, _ in missing})
            if name.endswith("_yoked")
        ]
        missing |= {
            key
            for key in outside
            if not is_finished(pathlib.Path(comparison.folder_of(*key)))
        }
        if not missing:
            continue
        runs.open(comparison.dataset.flags)
        say(f"{comparison.name}: {len(missing)} runs")
        order = [*comparison.by_name]
        ordered = sorted(missing, key=lambda m: (m[1], order.index(m[0])))

        def collect(name, seed, directory, diverged, comparison=comparison):
            key = {
                "dataset": comparison.dataset.name,
                "budget": comparison.budget,
                "arm": name,
                "seed": seed,
            }
            if diverged:
                row, right = NOTHING, runs.nothing_right()
            else:
                row, right = read_figures(directory), read_correct(directory)
            flags = digest_flags(flagfile(comparison, name))
            figures.add(row | key | flags)
            correct.add(right | key)
            correct.write()  # a run without a row of it is not there
            figures.write()

        # The outside runs first: without them no plan can repeat them.
        for first in (True, False):
            lines = {
                (name, seed): [
                    f"--flagfile={flagfile(comparison, name)}",
                    f"--seed={seed}",
                    f"--workdir={comparison.folder_of(name, seed)}",
                ]
                for name, seed in ordered
                if (seed == protocol.OUTSIDE_SEED) == first
            }
            runs.train(lines, collect)


def _is_there(figures, correct, comparison, arm: Arm, seed: int) -> bool:
    """Returns whether a run has its rows, and was trained as its flagfile says.

    Raises:
      UserError: it was trained with other flags.
    """
    key = tuple(map(str, (*key_of(comparison), arm.name, seed)))
    if key not in figures or key not in correct:
        return False
    path = flagfile(comparison, arm.name)
    if figures.rows[key]["flags"] != digest_flags(path)["flags"]:
        raise UserError(
            f"runs.csv: {' '.join(key)} was trained with other flags than "
            f"{path} has; take its row out, or bring the recipe back"
        )
    return True


def digest_flags(path: str) -> dict:
    """Returns what ties a row to its flagfile."""
    text = pathlib.Path(path).read_bytes()
    return {"flags": hashlib.sha256(text).hexdigest()[:12]}


def read_figures(directory: pathlib.Path) -> dict:
    """Returns what runs.csv has of a finished run."""
    metrics = read_metrics(directory)
    row = {name: metrics.get(key, "") for name, key in RUN_FIGURES.items()}
    plan = json.loads((directory / files.PLAN).read_text())
    return row | {
        "plan": plan["hash"][:12],
        "precision": metrics["numerics"]["policy"],
        "processor": "{cores} cores of {cpu}".format_map(metrics["numerics"]),
        "versions": " ".join(
            f"{name} {version}" for name, version in metrics["versions"].items()
        ),
    }


def read_correct(directory: pathlib.Path) -> dict:
    """Returns which validation images a finished run got right.

    images: a digest of their names and classes; correct: a bit for each, in
    their order, in base64.
    """
    arrays = read_arrays(directory / files.PREDICTIONS, ARRAYS)
    right = arrays["probabilities"].argmax(axis=1) == arrays["labels"]
    return {
        "images": name_images(arrays["ids"], arrays["labels"]),
        "correct": pack_correct(right),
    }


def name_images(ids: Sequence[str], labels: np.ndarray) -> str:
    """Returns the number of images, and a digest of names and classes."""
    names = "\n".join(map(str, ids)).encode()
    digest = hashlib.sha256(names + np.asarray(labels, np.int64).tobytes())
    return f"{len(labels)} {digest.hexdigest()[:12]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tune", "run"))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--data_dir", help="Tiny-ImageNet's zip or folder")
    parser.add_argument("--cache_dir", help="where stores are kept")
    parser.add_argument("--only", help="comparisons, such as tiny20_1200")
    parser.add_argument("--arms", help="arms, or recipes to tune")
    parser.add_argument("--shard", default="1/1", help="K/N: of the seeds")
    given = parser.parse_args()
    options = [
        f"--{name}={pathlib.Path(value).expanduser().absolute()}"
        for name in ("data_dir", "cache_dir")
        if (value := getattr(given, name))
    ]
    shard = parse_shard(given.shard)
    if not (shard and shard[1]):
        parser.error(f"--shard={given.shard}: must be K/N, such as 2/3")
    if given.what == "tune" and shard != (1, 1):
        parser.error("--shard is for run; share the trials by --only or --arms")
    os.chdir(ROOT)

    only = _names(parser, given.only, {each.name for each in COMPARISONS})
    arms = _names(
        parser, given.arms, {arm.name for c in COMPARISONS for arm in c.arms}
    )

    def chosen(comparison: Comparison, name: str) -> bool:
        return comparison.name in only and name in arms

    try:
        runs = Runs(options, given.jobs)
        if given.what == "tune":
            tune(runs, chosen)
        else:
            run(runs, chosen, shard)
        if runs.failed:
            raise UserError(
                f"{', '.join(runs.failed)} failed; the same command tries "
                "them again"
            )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _names(parser, text: str | None, known: set[str]) -> set[str]:
    """Returns the names of a comma list, all unless given."""
    names = set(text.split(",")) if text else known
    if unknown := names - known:
        parser.error(
            f"{', '.join(sorted(unknown))}: unknown; known: "
            f"{', '.join(sorted(known))}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
