"""The columns of a comparison's CSV tables, and their writing."""

import math
import pathlib
from typing import TYPE_CHECKING

from smartgrowth.runs import files

if TYPE_CHECKING:
    import pandas as pd

# Suffix of a cost's column -> the column of log.csv with the accuracy.
CURVES = {"": "val_accuracy", "_at_size": "val_accuracy_at_size"}
# Prefix of a cost's column -> the column of log.csv with the cost.
COSTS = {"gflops": "gflops", "seconds": "train_seconds"}
RUNS, ARMS = "comparison.csv", "comparison_arms.csv"
# Of comparison.csv.
COLUMNS = (
    "arm",
    "seed",
    "budget",
    "accuracy",
    "loss",
    "top5",
    "clean_train_accuracy",
    "clean_train_loss",
    "accuracy_gap",
    "loss_gap",
    "target",
    *(f"{cost}_to_target{where}" for cost in COSTS for where in CURVES),
    "images_seen",
    "gflops",
    "seconds",
    "directory",
)
# Of comparison_arms.csv.
ARM_COLUMNS = (
    "arm",
    "budget",
    "seeds",
    *(
        f"{name}_{figure}"
        for name in ("accuracy", "loss", "accuracy_gap", "loss_gap")
        for figure in ("mean", "deviation")
    ),
    "images_seen",
    "gflops",
    "seconds",
    "difference",
    "difference_deviation",
    "interval_low",
    "interval_high",
    "p",
    "p_corrected",
    "detectable",
    "verdict",
    "other_images_low",
    "other_images_high",
    "exploratory",
)


def write_tables(
    directory: pathlib.Path, table: "pd.DataFrame", summary: "pd.DataFrame"
) -> None:
    """Writes comparison.csv and comparison_arms.csv.

    Run directories within `directory` are written relative to it. NaN is an
    empty cell.

    Args:
      table: a row per trial, with the columns `COLUMNS`.
      summary: a row per arm and budget, with the columns `ARM_COLUMNS`.
    """
    for name, frame, columns in (
        (RUNS, table, COLUMNS),
        (ARMS, summary, ARM_COLUMNS),
    ):
        rows = [
            {
                key: ""
                if isinstance(value, float) and math.isnan(value)
                else value
                for key, value in row.items()
            }
            for row in frame.to_dict("records")
        ]
        for row in rows:
            if "directory" in row:
                path = row["directory"]
                if path.is_relative_to(directory):
                    path = path.relative_to(directory)
                row["directory"] = path.as_posix()
        files.write_csv(directory / name, columns, rows)
