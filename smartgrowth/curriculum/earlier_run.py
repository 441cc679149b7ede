"""Losses and errors of an earlier run, read from its directory."""

import pathlib
from collections.abc import Mapping

import numpy as np

from smartgrowth import UserError
from smartgrowth.data.store import Data
from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, read_arrays, require

# What is read of train_predictions.npz: name -> number of dimensions.
COLUMNS = {"ids": 1, "labels": 1, "guesses": 1, "losses": 1}
# Runs of versions before 0.2.0 did not keep these; total: how many training
# images there were, judged or not.
LATER = {"digests": 2, "total": 0}


def read_losses(flag: str, run: str, data: Data) -> np.ndarray:
    """Returns a finished run's loss of every training image of `data`, (N,).

    Args:
      flag: that named the run, for messages.
      run: its directory.
      data: to be trained on.

    Raises:
      UserError: it cannot be read, or was trained without some of the images,
        or on others of the same names.
    """
    losses = _read(flag, run, "losses", data)
    missing = [id for id in data.train.ids if id not in losses]
    if missing:
        raise UserError(
            f"{flag}: {run} was trained without {len(missing):,} of the "
            f"{len(data.train.ids):,} training images, such as {missing[0]}; "
            "name a run on the same --dataset and --classes"
        )
    return np.array([losses[id] for id in data.train.ids])


def read_wrong(flag: str, run: str, data: Data) -> np.ndarray:
    """Returns indices of the training images that a run got wrong, int64.

    Args:
      flag: that named the run, for messages.
      run: its directory.
      data: to be trained on.

    Raises:
      UserError: it cannot be read, was trained on other images of the same
        names, or got none of them wrong.
    """
    is_wrong = _read(flag, run, "wrong", data)
    wrong = [i for i, id in enumerate(data.train.ids) if is_wrong.get(id)]
    if not wrong:
        raise UserError(
            f"{flag}: {run} got none of these training images wrong; name "
            "another run, or leave the flag out"
        )
    return np.array(wrong)


def check_images(
    flag: str, source: str, digests: Mapping[str, str], data: Data
) -> None:
    """Checks that images of a name are the same images.

    Args:
      flag: that named the source, for messages.
      source: a run or a file.
      digests: image id -> digest in hexadecimal, as the source has it; "" if
        it does not know.
      data: to be trained on.

    Raises:
      UserError: they are others.
    """
    now = dict(zip(data.train.ids, data.train.digests, strict=True))
    others = [
        id
        for id, digest in digests.items()
        if digest and id in now and digest != now[id].tobytes().hex()
    ]
    if others:
        raise UserError(
            f"{flag}: {source} is of other images under the same names: "
            f"{len(others):,} training images, such as {others[0]}; name one "
            "that was made with the same --dataset"
        )


def _read(flag: str, run: str, column: str, data: Data) -> dict:
    """Returns image id -> value in a column of train_predictions.npz."""
    path = pathlib.Path(run).expanduser() / files.TRAIN_PREDICTIONS
    if not path.is_file():
        raise UserError(
            f"{flag}: {run} has no {files.TRAIN_PREDICTIONS}; name the folder "
            "of a finished run"
        )
    try:
        columns = read_arrays(path, COLUMNS, optional=LATER)
        with parsing(path):
            kinds = "".join(columns[name].dtype.kind for name in COLUMNS)
            require(kinds == "Uiif", f"its arrays are of the kinds {kinds}")
            total = int(columns.pop("total", 0))
            lengths = {len(column) for column in columns.values()}
            require(len(lengths) == 1, "its arrays differ in length")
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error
    ids = columns["ids"].tolist()
    if len(ids) < total:
        raise UserError(
            f"{flag}: {run} has judged {len(ids):,} of its {total:,} training "
            "images, since all would have taken long beside its training; "
            f"--mode=evaluate --workdir={run} judges the others"
        )
    digests = [row.tobytes().hex() for row in columns.get("digests", ())]
    check_images(flag, run, dict(zip(ids, digests, strict=False)), data)
    columns["wrong"] = columns["guesses"] != columns["labels"]
    return dict(zip(ids, columns[column].tolist(), strict=True))
