"""What an earlier run found hard, read from its directory."""

import pathlib

import numpy as np

from smartgrowth import UserError
from smartgrowth.data.store import Data
from smartgrowth.runs import files


def read_losses(flag: str, run: str, data: Data) -> np.ndarray:
    """The loss of every training image of `data` in a finished run, (N,).

    flag: what named the run, for the message of a `UserError`.
    """
    found = _read(flag, run, data, "losses")
    missing = [id for id in data.train.ids if id not in found]
    if missing:
        raise UserError(
            f"{flag}: {run} was trained without {len(missing):,} of the "
            f"{len(data.train.ids):,} training images, such as {missing[0]}; "
            "name a run on the same --dataset and --classes"
        )
    return np.array([found[id] for id in data.train.ids])


def read_wrong(flag: str, run: str, data: Data) -> np.ndarray:
    """Indices of the training images of `data` that a run got wrong, int64."""
    found = _read(flag, run, data, "wrong")
    wrong = [i for i, id in enumerate(data.train.ids) if found.get(id)]
    if not wrong:
        raise UserError(
            f"{flag}: {run} got none of these training images wrong; name "
            "another run, or leave the flag out"
        )
    return np.array(wrong)


def _read(flag: str, run: str, data: Data, value: str) -> dict:
    path = pathlib.Path(run).expanduser() / files.TRAIN_PREDICTIONS
    try:
        columns = files.read_npz(path)
    except OSError as error:
        raise UserError(
            f"{flag}: {path} cannot be read ({error}); name the folder of a "
            "finished run"
        ) from error
    columns["wrong"] = columns["guesses"] != columns["labels"]
    return dict(
        zip(columns["ids"].tolist(), columns[value].tolist(), strict=True)
    )
