"""The figures of a comparison, read from the run directories of its trials.

verdicts.py judges them, csv_tables.py writes them.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from smartgrowth import UserError
from smartgrowth.comparison import (
    comparable,
    correct_images,
    cost_to_accuracy,
    image_sampling,
    significance,
    verdicts,
)
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.csv_tables import (
    ARM_COLUMNS,
    COLUMNS,
    COSTS,
    CURVES,
)
from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.jobs import SHARED
from smartgrowth.runs.reader import Run, read_run

# Final figures of a trial: name here -> key of metrics.json.
ENDS = {
    "accuracy": "val_accuracy",
    "loss": "val_loss",
    "top5": "val_top5",
    "clean_train_accuracy": "clean_train_accuracy",
    "clean_train_loss": "clean_train_loss",
    "images_seen": "images_seen",
    "gflops": "gflops",
    "seconds": "train_seconds",
}


@dataclasses.dataclass(frozen=True)
class Figures:
    """All that the page shows.

    Attributes:
      table: a row per trial, with the columns `COLUMNS`; seconds are NaN if
        the runs cannot be timed.
      summary: a row per arm and budget, with the columns `ARM_COLUMNS`.
      runs: (arm, budget, seed) -> the run.
      verdicts: by arm, at the largest budget.
      arms: the baseline first.
      savings: arm -> times less of what is equal, as `times_less` returns it.
      untimed: why seconds are left out, or "".
      equal: what the arms were to get the same of, a key of `KINDS`.
      seeds_only: why intervals leave out the spread over images, or "".
      chosen: which runs were asked for after results had been seen, or "".
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    runs: dict[tuple[str, float, int], Run]
    verdicts: dict[str, verdicts.Verdict]
    arms: tuple[str, ...]
    savings: dict[str, tuple[float, str]]
    untimed: str
    equal: str = "gflops"
    seeds_only: str = ""
    chosen: str = ""

    @property
    def baseline(self) -> str:
        return self.arms[0]

    @property
    def budgets(self) -> list[float]:
        """Shares of the whole budget, rising."""
        return sorted(self.table["budget"].unique())

    @property
    def whole(self) -> pd.DataFrame:
        """The trials at the largest budget, from which the verdicts come."""
        return self.table[self.table["budget"] == self.budgets[-1]]

    @property
    def is_measured(self) -> bool:
        """Whether what the arms were to get the same of is known of them."""
        return not self.table[KINDS[self.equal].column].isna().any()

    def of(self, arm: str) -> pd.DataFrame:
        """Returns an arm's trials at the largest budget."""
        return self.whole[self.whole["arm"] == arm]

    def curve(self, arm: str, cost: str, column: str):
        """Returns costs (points,) and a column of the log (seeds, points).

        At the largest budget; None if the arm has no run.
        """
        found = [
            (run.log[cost].to_numpy(), run.log[column].to_numpy())
            for (name, budget, _), run in self.runs.items()
            if name == arm and budget == self.budgets[-1] and len(run.log)
        ]
        return cost_to_accuracy.align(found) if found else None


def read_figures(
    trials: Sequence[Trial],
    target: float | None,
    jobs: int = 1,
    equal: str = "gflops",
    chosen: str = "",
) -> Figures:
    """Returns the figures of all finished trials.

    Args:
      trials: finished or not.
      target: accuracy whose cost is read from the curves; None for the final
        accuracy of the baseline with the same seed.
      jobs: processes at once while the trials were trained.
      equal: what the arms were to get the same of, a key of `KINDS`.
      chosen: which runs were asked for after results had been seen, or "".

    Raises:
      UserError: no run of the baseline is finished.
    """
    arms = tuple(dict.fromkeys(trial.arm for trial in trials))
    trials = [trial for trial in trials if trial.finished]
    runs = {
        (trial.arm, trial.budget, trial.seed): read_run(trial.directory)
        for trial in trials
    }
    untimed = _untimed(trials, runs.values(), jobs)
    finals = {
        seed: run.metrics["val_accuracy"]
        for (arm, budget, seed), run in runs.items()
        if arm == arms[0] and budget == max(b for _, b, _ in runs)
    }
    if not finals:
        raise UserError(
            f"no run of {arms[0]}, the baseline, is finished: there is nothing "
            "to compare with"
        )
    table = pd.DataFrame(
        [
            _row(trial, run, target or finals.get(trial.seed, math.nan))
            for trial, run in zip(trials, runs.values(), strict=True)
        ],
        columns=list(COLUMNS),
    )
    if untimed:
        table.loc[:, [c for c in COLUMNS if c.startswith("seconds")]] = math.nan
    table["arm"] = pd.Categorical(table["arm"], arms)
    table = table.sort_values(["arm", "budget", "seed"], ignore_index=True)
    judged, pairs, wider, unread = {}, {}, {}, ""
    for budget in sorted(table["budget"].unique()):
        found = _pairs(table[table["budget"] == budget], arms)
        of_budget = {
            (arm, seed): run
            for (arm, share, seed), run in runs.items()
            if share == budget
        }
        # Of these and the verdicts, those of the largest budget stay.
        images, unread = correct_images.differences(of_budget, found, arms[0])
        both = image_sampling.intervals(found, images)
        judged = verdicts.judge(found, arms[0], both, chosen)
        pairs |= {(arm, budget): pair for arm, pair in found.items()}
        wider |= {(arm, budget): ends for arm, ends in both.items()}
    summary = _summarize(table, pairs, judged, wider)
    return Figures(
        table=table,
        summary=summary,
        runs=runs,
        verdicts=judged,
        arms=arms,
        savings=_savings(summary, arms, KINDS[equal].column),
        untimed=untimed,
        equal=equal,
        seeds_only=unread,
        chosen=chosen,
    )


def _row(trial: Trial, run: Run, target: float) -> dict:
    row = {
        "arm": trial.arm,
        "seed": trial.seed,
        "budget": trial.budget,
        "target": target,
        "directory": trial.directory,
    }
    for name, key in ENDS.items():
        row[name] = run.metrics.get(key, math.nan)
    row["accuracy_gap"] = row["clean_train_accuracy"] - row["accuracy"]
    row["loss_gap"] = row["loss"] - row["clean_train_loss"]
    for (cost, along), (where, column) in itertools.product(
        COSTS.items(), CURVES.items()
    ):
        row[f"{cost}_to_target{where}"] = cost_to_accuracy.cost_to_reach(
            run.log[along], run.log[column], target
        )
    return row


def _pairs(table: pd.DataFrame, arms: Sequence[str]):
    """Returns each arm's accuracies paired with the baseline's by seed."""
    by_seed = table.pivot(index="seed", columns="arm", values="accuracy")
    pairs = {}
    for arm in arms[1:]:
        both = by_seed.reindex(columns=[arm, arms[0]]).dropna()
        if len(both):
            pairs[arm] = significance.compare_pairs(both[arm], both[arms[0]])
    return pairs


def _summarize(
    table: pd.DataFrame, pairs: Mapping, judged: Mapping, wider: Mapping
):
    rows = []
    largest = table["budget"].max()
    for (arm, budget), part in table.groupby(["arm", "budget"], observed=True):
        row = dict.fromkeys(ARM_COLUMNS, math.nan)
        row |= {"arm": arm, "budget": budget, "seeds": len(part)}
        row |= {"verdict": "", "exploratory": ""}
        for name in ("accuracy", "loss", "accuracy_gap", "loss_gap"):
            row[f"{name}_mean"] = part[name].mean()
            row[f"{name}_deviation"] = part[name].std()
        for name in ("images_seen", "gflops", "seconds"):
            row[name] = float(part[name].mean())
        if pair := pairs.get((arm, budget)):
            row |= {
                "difference": pair.mean,
                "difference_deviation": pair.deviation,
                "interval_low": pair.low,
                "interval_high": pair.high,
                "p": pair.p,
            }
            ends = wider.get((arm, budget), (math.nan, math.nan))
            row["other_images_low"], row["other_images_high"] = ends
            if budget == largest:
                row |= {
                    "p_corrected": judged[arm].p,
                    "detectable": judged[arm].visible,
                    "verdict": judged[arm].word,
                    "exploratory": judged[arm].exploratory,
                }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))


def _savings(summary: pd.DataFrame, arms: Sequence[str], cost: str):
    """Returns how many times less each arm costs for the baseline's accuracy.

    Empty with a single budget, or if the cost was not measured.

    Args:
      summary: with the columns `ARM_COLUMNS`.
      arms: the baseline first.
      cost: the column with what is counted.
    """
    if summary["budget"].nunique() < 2 or summary[cost].isna().any():
        return {}
    by_arm = dict(list(summary.groupby("arm", observed=True)))
    end = by_arm[arms[0]].iloc[-1]
    return {
        arm: cost_to_accuracy.times_less(
            end[cost],
            end["accuracy_mean"],
            by_arm[arm][cost].to_numpy(),
            by_arm[arm]["accuracy_mean"].to_numpy(),
        )
        for arm in arms[1:]
        if arm in by_arm
    }


def _untimed(trials: Sequence[Trial], runs, jobs: int) -> str:
    """Returns why the runs' seconds cannot be compared; "" if they can."""
    if jobs > 1:
        return f"the runs shared the machine (--jobs={jobs})"
    for trial in trials:
        if (trial.directory / SHARED).exists():
            return f"{trial.name} shared the machine with other runs"
    if comparable.machines_differ(runs):
        return "the runs were made on different machines or in other precisions"
    return ""
