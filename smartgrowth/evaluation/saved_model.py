"""Reads a finished run's network, and checks the data that it is shown."""

import contextlib
import pathlib

import keras

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data.store import Data
from smartgrowth.flags.model import is_users
from smartgrowth.models import user_network
from smartgrowth.models.network import Network
from smartgrowth.planning import make_network
from smartgrowth.runs import files
from smartgrowth.runs.identity import data_change
from smartgrowth.runs.model_file import check_archive
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runs.reader import read_flags, read_plan


def load_model(directory: pathlib.Path, num_classes: int) -> keras.Model:
    """Opens the `final.keras` of a run directory.

    Raises:
      UserError: it is missing or damaged, or of another number of classes.
    """
    name = read_flags(directory).get("model", "")
    if is_users(name):
        # It may register layers of its own. Without such, it is not needed.
        with contextlib.suppress(UserError):
            user_network.find_function(name)
    return open_model(directory / files.MODEL, num_classes)


def network_of(trained: Config, model: keras.Model) -> Network:
    """Returns the network of a finished run.

    Args:
      trained: the run's config.
      model: its `final.keras`; all that is needed of a network of the user's.
    """
    if is_users(trained.model):
        return user_network.UserNetwork.of_model(trained.model, model)
    return make_network(trained, model.output_shape[-1])


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
