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
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import protocol
from arms import Arm
from collect import has_diverged, run_rows, trial_row
from flagfiles import digest_flags, write_flagfiles
from protocol import COMPARISONS, TRIALS, Comparison
from tables import key_of, read_runs, read_trials

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison import arms as compared_arms
from smartgrowth.comparison import runner
from smartgrowth.comparison.jobs import LocalPool
from smartgrowth.comparison.settings import parse_shard
from smartgrowth.runs.directory import is_finished
from smartgrowth.runtime.reporter import say

ROOT = pathlib.Path(__file__).parents[2]


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
            if has_diverged(trial.directory):
                collect(*keys[trial.directory], trial.directory, True)
            else:
                self.failed.append(trial.name)


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

        def collect(*ended, comparison=comparison):
            table.add(trial_row(comparison, *ended))
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
        arms = [arm for arm in comparison.arms if chosen(comparison, arm.name)]
        missing = _find_missing(figures, correct, comparison, arms, shard)
        if not missing:
            continue
        runs.open(comparison.dataset.flags)
        say(f"{comparison.name}: {len(missing)} runs")

        def collect(*ended, comparison=comparison):
            validation = runs.opened.validation
            row, right = run_rows(comparison, *ended, validation)
            figures.add(row)
            correct.add(right)
            correct.write()  # a run without a row of it is not there
            figures.write()

        # The outside runs first: without them no plan can repeat them.
        for first in (True, False):
            lines = {
                (name, seed): [
                    f"--flagfile={comparison.flagfile(name)}",
                    f"--seed={seed}",
                    f"--workdir={comparison.folder_of(name, seed)}",
                ]
                for name, seed in missing
                if (seed == protocol.OUTSIDE_SEED) == first
            }
            runs.train(lines, collect)


def _find_missing(
    figures, correct, comparison: Comparison, arms: Sequence[Arm], shard
) -> list[tuple[str, int]]:
    """Returns the runs that are to be trained, by arm and seed.

    And the outside runs that they repeat, of which only the folders are read.
    """
    ready = [
        arm
        for arm in arms
        if pathlib.Path(comparison.flagfile(arm.name)).exists()
    ]
    if len(ready) < len(arms):
        names = [arm.name for arm in arms if arm not in ready]
        say(f"{comparison.name}: not tuned yet: {', '.join(names)}")
    number, count = shard
    missing = {
        (arm.name, seed)
        for arm in ready
        for seed in protocol.seeds(arm)
        if seed % count == number - 1
        and not _is_there(figures, correct, comparison, arm, seed)
    }
    outside = {
        (name.replace("_yoked", "_auto"), protocol.OUTSIDE_SEED)
        for name, _ in missing
        if name.endswith("_yoked")
    }
    missing |= {
        key
        for key in outside
        if not is_finished(pathlib.Path(comparison.folder_of(*key)))
    }
    order = [*comparison.by_name]
    return sorted(missing, key=lambda key: (key[1], order.index(key[0])))


def _is_there(figures, correct, comparison, arm: Arm, seed: int) -> bool:
    """Returns whether a run has its rows, and was trained as its flagfile says.

    Raises:
      UserError: it was trained with other flags.
    """
    key = tuple(map(str, (*key_of(comparison), arm.name, seed)))
    if key not in figures or key not in correct:
        return False
    path = comparison.flagfile(arm.name)
    if figures.rows[key]["flags"] != digest_flags(path):
        raise UserError(
            f"runs.csv: {' '.join(key)} was trained with other flags than "
            f"{path} has; take its row out, or bring the recipe back"
        )
    return True


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
