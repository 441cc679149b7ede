"""The figures of a comparison, read from the run directories of its trials.

verdicts.py judges them, csv_tables.py writes them.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from smartgrowth import UserError
from smartgrowth.compare import cost_to_accuracy, significance, verdicts
from smartgrowth.compare.arms import Trial
from smartgrowth.compare.csv_tables import (
    ARM_COLUMNS,
    COLUMNS,
    COSTS,
    CURVES,
)
from smartgrowth.compare.runner import SHARED
from smartgrowth.rendering.text import show
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
SAME = 0.01  # relative difference up to which costs count as equal
SAME_SECONDS = 0.1


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
      savings: arm -> times less cost, as `times_less` returns it.
      untimed: why seconds are left out, or "".
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    runs: dict[tuple[str, float, int], Run]
    verdicts: dict[str, verdicts.Verdict]
    arms: tuple[str, ...]
    savings: dict[str, tuple[float, str]]
    untimed: str

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
    trials: Sequence[Trial], target: float | None, jobs: int = 1
) -> Figures:
    """Returns the figures of all finished trials.

    Args:
      trials: finished or not.
      target: accuracy whose cost is read from the curves; None for the final
        accuracy of the baseline with the same seed.
      jobs: processes at once while the trials were trained.

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
    judged, pairs = {}, {}
    for budget in sorted(table["budget"].unique()):
        found = _pairs(table[table["budget"] == budget], arms)
        pairs |= {(arm, budget): pair for arm, pair in found.items()}
        judged = verdicts.judge(found, arms[0])  # the largest one's stay
    summary = _summarize(table, pairs, judged)
    return Figures(
        table, summary, runs, judged, arms, _savings(summary, arms), untimed
    )


def compare_costs(figures: Figures) -> tuple[bool, str]:
    """Returns whether the arms cost the same, and in which unit, as text."""
    means = figures.whole.groupby("arm", observed=True)[
        ["gflops", "images_seen", "seconds"]
    ].mean()
    spread = means.max() / means.min() - 1
    # A plan has whole steps, so costs can differ by one step.
    step = max(
        stage["gflops"] / stage["steps"] / run.figures["gflops"]
        for run in figures.runs.values()
        for stage in run.stages
    )
    if spread["gflops"] <= SAME + step:
        cost = show("gflops", means["gflops"].mean())
        return True, f"at the same training cost of {cost} a run"
    if spread["images_seen"] <= SAME + step:
        images = means["images_seen"].mean()
        return True, f"with the same {images:,.0f} images shown in a run"
    if spread["seconds"] <= SAME_SECONDS:
        time = show("seconds", means["seconds"].mean())
        return True, f"in about the same training time of {time} a run"
    costs = ", ".join(
        f"{arm} {show('gflops', cost)}" for arm, cost in means["gflops"].items()
    )
    return False, f"not at equal cost: {costs}"


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


def _summarize(table: pd.DataFrame, pairs: Mapping, judged: Mapping):
    rows = []
    largest = table["budget"].max()
    for (arm, budget), part in table.groupby(["arm", "budget"], observed=True):
        row = dict.fromkeys(ARM_COLUMNS, math.nan)
        row |= {"arm": arm, "budget": budget, "seeds": len(part), "verdict": ""}
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
            if budget == largest:
                row |= {
                    "p_corrected": judged[arm].p,
                    "detectable": judged[arm].visible,
                    "verdict": judged[arm].word,
                }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))


def _savings(summary: pd.DataFrame, arms: Sequence[str]):
    """Returns how many times less each arm costs for the baseline's accuracy.

    Empty with a single budget.
    """
    if summary["budget"].nunique() < 2:
        return {}
    by_arm = dict(list(summary.groupby("arm", observed=True)))
    end = by_arm[arms[0]].iloc[-1]
    return {
        arm: cost_to_accuracy.times_less(
            end["gflops"],
            end["accuracy_mean"],
            by_arm[arm]["gflops"].to_numpy(),
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
    machines = {
        json.dumps(run.metrics.get("numerics", {}), sort_keys=True)
        for run in runs
    }
    if len(machines) > 1:
        return "the runs were made on different machines or in other precisions"
    return ""
