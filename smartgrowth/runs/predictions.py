"""What a finished run predicts: its class names, its validation images.

Reads files alone, as `reader` does.
"""

import pathlib
from typing import TYPE_CHECKING

from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, read_arrays, read_lines, require
from smartgrowth.runs.reader import read_plan

if TYPE_CHECKING:  # imported late, when there is something to read
    import numpy as np


def read_classes(directory: pathlib.Path) -> list[str]:
    """Returns a finished run's class names, in the order of the logits.

    Raises:
      UserError: classes.txt is missing or malformed, or does not agree with
        plan.json.
    """
    path = directory / files.CLASSES
    count = read_plan(directory)["identity"].get("num_classes")
    with parsing(path):
        require(path.exists(), "it is missing")
        names = read_lines(path)
        require(all(names), "a line is empty")
        require(len({*names}) == len(names), "a name is there twice")
        require(
            names and count in (None, len(names)),
            f"it has {len(names)} names, {files.PLAN} {count} classes",
        )
    return names


def read_predictions(
    directory: pathlib.Path,
) -> tuple["np.ndarray", "np.ndarray", list[str]] | None:
    """Returns the predictions of the validation images; None before the end.

    Returns:
      labels int64 (N,), probabilities (N, C) and the names of the C classes.

    Raises:
      UserError: predictions.npz or classes.txt is malformed.
    """
    path = directory / files.PREDICTIONS
    if not path.is_file():
        return None
    names = read_classes(directory)
    arrays = read_arrays(path, {"labels": 1, "probabilities": 2})
    labels, probabilities = arrays["labels"], arrays["probabilities"]
    with parsing(path):
        classes = probabilities.shape[1]
        require(
            classes == len(names),
            f"its predictions are of {classes} classes, {files.CLASSES} has "
            f"{len(names)}",
        )
        require(labels.dtype.kind in "iu", f"its labels are {labels.dtype}")
        require(
            len(labels) == len(probabilities) > 0,
            f"it has {len(labels)} labels, {len(probabilities)} predictions",
        )
        require(
            (labels >= 0).all() and (labels < classes).all(),
            "a label is of no class",
        )
        require(
            probabilities.dtype.kind == "f",
            f"its probabilities are {probabilities.dtype}",
        )
    return labels, probabilities, names
