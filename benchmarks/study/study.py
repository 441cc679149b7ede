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
from collections.abc import Callable, Iterator, Mapping, Sequence

import protocol
from arms import Arm
from protocol import COMPARISONS, TRIALS, Comparison
from tables import (
    RUN_FIGURES,
    best_trial,
    key_of,
    pack_correct,
    read_runs,
    read_trials,
)

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison import arms as trials
from smartgrowth.comparison import runner
from smartgrowth.comparison.correct_images import ARRAYS
from smartgrowth.comparison.jobs import LocalPool
from smartgrowth.comparison.settings import parse_shard
from smartgrowth.runs import files
from smartgrowth.runs.directory import is_finished
from smartgrowth.runs.parse import read_arrays
from smartgrowth.runs.reader import read_metrics
from smartgrowth.runtime.reporter import say

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = "benchmarks/study/flags"  # from there


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
                path = flagfile(comparison, arm)
                lines = comparison.flag_lines(arm, best, base)
                own[path] = _flagfile(path, about, lines)
        made |= own
        if own:
            path = f"{FLAGS}/{comparison.name}.flags"
            lines = [
                "--mode=compare",
                f"--arms={','.join(own)}",
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


def flagfile(comparison: Comparison, arm: Arm) -> str:
    """Returns the path of an arm's flagfile from the root."""
    return f"{FLAGS}/{comparison.name}/{arm.name}.flags"


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
        wide = trials.Arm("all", self.config([*lines, "--grow_size=16,24,32"]))
        self.opened = trials.open_stores([wide])["all"]

    def config(self, lines: Sequence[str]):
        return from_flag_lines([*lines, *self.options])

    def train(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Iterator[trials.Trial]:
        """Trains what is not finished; yields each that is.

        wanted: name -> flags.
        """
        made = []
        for name, lines in wanted.items():
            config = self.config(lines)
            arm = trials.Arm(name, config)
            made.append(
                trials.make_trial(arm, config, 1.0, self.opened, restart=False)
            )
        for trial in made:
            if trial.refusal:
                raise UserError(trial.refusal)
        finished = [trial for trial in made if trial.finished]
        failed = runner.train_all(
            made, LocalPool(self.jobs), runner.Forecast(finished)
        )
        self.failed += [trial.name for trial in failed]
        for trial in made:
            if trial not in failed:
                yield trial


def tune(runs: Runs, chosen: Callable[[Comparison, str], bool]) -> None:
    """Trains every trial of every recipe, on images held out of training."""
    table = read_trials()
    held_out = (
        f"--hold_out={protocol.HELD_OUT}",
        f"--seed={protocol.TUNING_SEED}",
    )
    for comparison in COMPARISONS:
        wanted = {
            f"{recipe}_{number}": (recipe, number)
            for recipe in comparison.recipes
            for number in range(len(TRIALS))
            if (*key_of(comparison), recipe, number) not in table
            and chosen(comparison, recipe)
        }
        if not wanted:
            continue
        say(f"tuning on {comparison.name}: {len(wanted)} trials")
        runs.open([*comparison.dataset.flags, *held_out])
        lines = {}
        for name, (recipe, number) in wanted.items():
            arm, trial = comparison.by_name[recipe], TRIALS[number]
            lines[name] = [
                *comparison.flag_lines(arm, trial, trial),
                *held_out,
                f"--workdir=runs/study/tuning/{comparison.name}/{name}",
            ]
        for trained in runs.train(lines):
            recipe, number = wanted[trained.arm]
            metrics = read_metrics(trained.directory)
            values = dataclasses.asdict(TRIALS[number])
            table.add(
                {
                    "dataset": comparison.dataset.name,
                    "budget": comparison.budget,
                    "recipe": recipe,
                    "trial": number,
                    **{key: f"{value:g}" for key, value in values.items()},
                    "held_out_accuracy": metrics["val_accuracy"],
                    "gflops": metrics["gflops"],
                }
            )
            table.write()
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
        own = [
            arm
            for arm in comparison.arms
            if chosen(comparison, arm.name)
            and pathlib.Path(flagfile(comparison, arm)).exists()
        ]
        number, count = shard
        missing = {
            (arm.name, seed)
            for arm in own
            for seed in protocol.seeds(arm)
            if seed % count == number - 1
            and (*key_of(comparison), arm.name, seed) not in figures
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
        if missing:
            runs.open(comparison.dataset.flags)
        for seed in (protocol.OUTSIDE_SEED, *range(protocol.PRIMARY_SEEDS)):
            wanted = [
                arm for arm in comparison.arms if (arm.name, seed) in missing
            ]
            if not wanted:
                continue
            say(f"{comparison.name}, seed {seed}: {len(wanted)} runs")
            lines = {
                arm.name: [
                    f"--flagfile={flagfile(comparison, arm)}",
                    f"--seed={seed}",
                    f"--workdir={comparison.folder_of(arm.name, seed)}",
                ]
                for arm in wanted
            }
            for trained in runs.train(lines):
                key = {
                    "dataset": comparison.dataset.name,
                    "budget": comparison.budget,
                    "arm": trained.arm,
                    "seed": seed,
                }
                figures.add(key | read_figures(trained.directory))
                correct.add(key | read_correct(trained.directory))
                figures.write()
                correct.write()


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
    names = "\n".join(map(str, arrays["ids"])).encode()
    digest = hashlib.sha256(names + arrays["labels"].tobytes()).hexdigest()
    return {
        "images": f"{len(right)} {digest[:12]}",
        "correct": pack_correct(right),
    }


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
    os.chdir(ROOT)

    def chosen(comparison: Comparison, name: str) -> bool:
        only, arms = given.only, given.arms
        return (not only or comparison.name in only.split(",")) and (
            not arms or name in arms.split(",")
        )

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


if __name__ == "__main__":
    sys.exit(main())
