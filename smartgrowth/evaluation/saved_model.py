"""Reads a finished run's network and its classes."""

import pathlib
import zipfile

import keras

from smartgrowth import UserError
from smartgrowth.data.store import Data
from smartgrowth.runs import files
from smartgrowth.runs.reader import read_json


def load_model(directory: pathlib.Path) -> keras.Model:
    """Opens the `final.keras` of a run directory.

    Raises:
      UserError: it is missing or damaged.
    """
    path = directory / files.MODEL
    try:
        return keras.saving.load_model(path, compile=False)
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        zipfile.BadZipFile,
    ) as error:
        raise _unreadable(path, error) from error


def read_classes(directory: pathlib.Path) -> list[str]:
    """Returns a run directory's class names, in the order of the logits."""
    try:
        return files.read_classes(directory)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(directory / files.CLASSES, error) from error


def check_data(directory: pathlib.Path, data: Data) -> None:
    """Checks that data is what a run was trained and validated on.

    Otherwise images that it was trained on could be among the validation's.

    Raises:
      UserError: its classes, images or labels are others.
    """
    if tuple(read_classes(directory)) != data.class_names:
        raise UserError(
            f"{directory / files.CLASSES} names other classes than the "
            "dataset has now; give the --data_dir that the run was trained on"
        )
    identity = read_json(directory / files.PLAN).get("identity") or {}
    if identity.get("content", data.content) != data.content:
        raise UserError(
            f"--workdir={directory}: the dataset has other images or labels "
            "now than those that the run was trained and validated on; give "
            "the --data_dir that it was trained on, or train it again"
        )


def _unreadable(path, error) -> UserError:
    reason = str(error).strip().partition("\n")[0]
    return UserError(
        f"{path} cannot be read ({reason}); delete {files.METRICS} "
        "beside it and give the training command again, which writes both "
        "anew from the last checkpoint"
    )
