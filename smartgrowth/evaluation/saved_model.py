"""Reads a finished run's network, and checks the data that it is shown."""

import pathlib

import keras

from smartgrowth import UserError
from smartgrowth.data.store import Data
from smartgrowth.runs import files
from smartgrowth.runs.identity import data_change
from smartgrowth.runs.model_file import check_archive
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runs.reader import read_plan


def load_model(directory: pathlib.Path, num_classes: int) -> keras.Model:
    """Opens the `final.keras` of a run directory.

    Raises:
      UserError: it is missing or damaged, or of another number of classes.
    """
    return open_model(directory / files.MODEL, num_classes)


def open_model(path: pathlib.Path, num_classes: int) -> keras.Model:
    """Opens a `final.keras`; raises as `load_model`."""
    with parsing(path):
        require(path.exists(), "it is missing")
        check_archive(path)
        model = keras.saving.load_model(path, compile=False)
        require(isinstance(model, keras.Model), "it holds no model")
        shapes = model.input_shape, model.output_shape
        images, logits = (None, None, None, 3), (None, num_classes)
        require(
            shapes == (images, logits),
            f"its network makes {shapes[1]} of {shapes[0]}, the run's "
            f"{logits} of {images}",
        )
    return model


def check_data(directory: pathlib.Path, data: Data) -> None:
    """Checks that data is what a run was trained and validated on.

    Otherwise images that it was trained on could be among the validation's.

    Raises:
      UserError: its classes, images or labels are others.
    """
    if tuple(read_classes(directory)) != data.class_names:
        raise UserError(
            f"{directory / files.CLASSES} names other classes than the "
            "dataset has now; give the --dataset or --data_dir that the run "
            "was trained on"
        )
    identity = read_plan(directory)["identity"]
    now = {"content": data.content, "pixels": data.pixels}
    changed = data_change({"content": data.content} | identity, now)
    if changed:
        raise UserError(
            f"--workdir={directory}: {changed}, not those that the run was "
            "trained and validated on; give the --dataset or --data_dir that "
            "it was trained on, or train it again"
        )
