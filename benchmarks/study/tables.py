"""The study's finished runs: the CSVs beside this file."""

import base64
import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from protocol import COMPARISONS, TRIALS, Comparison, Trial

from smartgrowth.runs import files

HERE = pathlib.Path(__file__).parent
KEY = ("dataset", "budget", "arm", "seed")
RUN_FIGURES = {
    "accuracy": "val_accuracy",
    "loss": "val_loss",
    "top5": "val_top5",
    "mirrored_accuracy": "tta_accuracy",
    "clean_train_accuracy": "clean_train_accuracy",
    "gflops": "gflops",
    "images_seen": "images_seen",
    "wall_seconds": "wall_seconds",  # of a busy machine: what it cost us
}
RUN_COLUMNS = (
    *KEY,
    *RUN_FIGURES,
    *("flags", "plan", "precision", "processor", "versions"),
)
CORRECT_COLUMNS = (*KEY, "images", "correct")
TRIAL_KEY = ("dataset", "budget", "recipe", "trial")
TRIAL_COLUMNS = (
    *TRIAL_KEY,
    *(field.name for field in dataclasses.fields(Trial)),
    "held_out_accuracy",
    "gflops",
)


class Table:
    """A CSV of finished runs, beside this file."""

    def __init__(self, name: str, columns: Sequence[str], key: Sequence[str]):
        self.path, self.columns, self.key = HERE / name, columns, key
        self.rows = {}
        if self.path.exists():
            read = pd.read_csv(self.path, dtype=str, keep_default_na=False)
            for row in read.to_dict("records"):
                self.rows[self._key(row)] = row

    def _key(self, row: dict) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in self.key)

    def __contains__(self, key: Sequence) -> bool:
        return tuple(map(str, key)) in self.rows

    def add(self, row: dict) -> None:
        self.rows[self._key(row)] = row

    def write(self) -> None:
        """Writes all rows, in an order that does not change."""
        order = {
            arm.name: place
            for each in COMPARISONS
            for place, arm in enumerate(each.arms)
        }

        def place(key):
            return [
                (order.get(part, 0), int(part) if part.isdecimal() else 0, part)
                for part in key
            ]

        rows = [self.rows[key] for key in sorted(self.rows, key=place)]
        files.write_csv(self.path, self.columns, rows)


def read_runs() -> tuple[Table, Table]:
    """Returns the figures of all finished runs, and their correct images."""
    return (
        Table("runs.csv", RUN_COLUMNS, KEY),
        Table("correct_images.csv", CORRECT_COLUMNS, KEY),
    )


def read_trials() -> Table:
    """Returns all finished trials of the tuning."""
    return Table("tuning.csv", TRIAL_COLUMNS, TRIAL_KEY)


def best_trial(
    table: Table, comparison: Comparison, recipe: str
) -> Trial | None:
    """Returns the trial with the highest held-out accuracy; None before."""
    accuracies = []
    for number in range(len(TRIALS)):
        row = table.rows.get((*key_of(comparison), recipe, str(number)))
        if row is None:
            return None
        accuracies.append(float(row["held_out_accuracy"]))
    return TRIALS[int(np.argmax(accuracies))]


def key_of(comparison: Comparison) -> tuple[str, str]:
    """Returns dataset and budget, as the tables have them."""
    return comparison.dataset.name, str(comparison.budget)


def pack_correct(right: np.ndarray) -> str:
    """Returns a bit for each of bool (images,), in base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack_correct(row: dict) -> np.ndarray:
    """Returns which images a row of correct_images.csv has, bool (images,)."""
    count = int(row["images"].split()[0])
    packed = np.frombuffer(base64.b64decode(row["correct"]), np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)
