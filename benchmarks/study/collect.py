"""The rows that a run of the study leaves in its tables."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from flagfiles import digest_flags
from protocol import TRIALS, Comparison
from tables import RUN_COLUMNS, RUN_FIGURES, pack_correct

from smartgrowth.comparison.correct_images import ARRAYS
from smartgrowth.comparison.jobs import OUTPUT
from smartgrowth.runs import files
from smartgrowth.runs.parse import read_arrays
from smartgrowth.runs.reader import read_metrics

DIVERGED = "learning diverged"  # in the last lines of such a run
# Of runs.csv, of a run that diverged: wrong on every image.
NOTHING = dict.fromkeys(RUN_COLUMNS, "") | {"accuracy": 0.0}


def has_diverged(directory: pathlib.Path) -> bool:
    """Returns whether a run stopped since its loss was no longer finite."""
    output = (directory / OUTPUT).read_text("utf-8", "replace")
    return any(DIVERGED in line for line in output.splitlines()[-8:])


def trial_row(
    comparison: Comparison,
    recipe: str,
    number: int,
    directory: pathlib.Path,
    diverged: bool,
) -> dict:
    """Returns the row of tuning.csv of a trial that has ended."""
    metrics = {} if diverged else read_metrics(directory)
    values = dataclasses.asdict(TRIALS[number])
    return {
        "dataset": comparison.dataset.name,
        "budget": comparison.budget,
        "recipe": recipe,
        "trial": number,
        **{key: f"{value:g}" for key, value in values.items()},
        "held_out_accuracy": metrics.get("val_accuracy", 0.0),
        "gflops": metrics.get("gflops", ""),
    }


def run_rows(
    comparison: Comparison,
    arm: str,
    seed: int,
    directory: pathlib.Path,
    diverged: bool,
    validation,
) -> tuple[dict, dict]:
    """Returns the rows of runs.csv and correct_images.csv of a run.

    validation: the split that every run is validated on.
    """
    key = {
        "dataset": comparison.dataset.name,
        "budget": comparison.budget,
        "arm": arm,
        "seed": seed,
    }
    if diverged:
        figures, right = NOTHING, nothing_right(validation)
    else:
        figures, right = read_figures(directory), read_correct(directory)
    flags = {"flags": digest_flags(comparison.flagfile(arm))}
    return figures | key | flags, right | key


def read_figures(directory: pathlib.Path) -> dict:
    """Returns what runs.csv has of a finished run."""
    metrics = read_metrics(directory)
    row = {name: metrics.get(key, "") for name, key in RUN_FIGURES.items()}
    plan = json.loads((directory / files.PLAN).read_text())
    return row | {
        "plan": plan["hash"][:12],
        "precision": metrics["numerics"]["policy"],
        "processor": "{cores} cores of {cpu}, {threads} threads".format_map(
            {"threads": "unknown"} | metrics["numerics"]
        ),
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


def nothing_right(validation) -> dict:
    """Returns what `read_correct` would of a run with no image right."""
    return {
        "images": name_images(validation.ids, validation.labels),
        "correct": pack_correct(np.zeros(len(validation.labels), bool)),
    }


def name_images(ids: Sequence[str], labels: np.ndarray) -> str:
    """Returns the number of images, and a digest of names and classes."""
    names = "\n".join(map(str, ids)).encode()
    digest = hashlib.sha256(names + np.asarray(labels, np.int64).tobytes())
    return f"{len(labels)} {digest.hexdigest()[:12]}"
