"""Reads a finished run's network, and checks the data that it is shown."""

import json
import pathlib
import zipfile

import keras

from smartgrowth import UserError
from smartgrowth.data.store import Data
from smartgrowth.runs import files
from smartgrowth.runs.identity import data_change
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.reader import read_classes, read_plan

CONFIG, WEIGHTS = "config.json", "model.weights.h5"  # in a .keras file
MAX_CONFIG = 64 * 2**20  # bytes; that of resnext50 has under 2 MB


def load_model(directory: pathlib.Path, num_classes: int) -> keras.Model:
    """Opens the `final.keras` of a run directory.

    Raises:
      UserError: it is missing or damaged, or of another number of classes.
    """
    path = directory / files.MODEL
    with parsing(path):
        require(path.exists(), "it is missing")
        _check_archive(path)
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


def _check_archive(path: pathlib.Path) -> None:
    """Raises an error if a .keras file is not whole, or claims what it lacks.

    Keras would check no sum of the weights, and make layers of any size.
    """
    with zipfile.ZipFile(path) as archive:
        require(
            archive.getinfo(CONFIG).file_size <= MAX_CONFIG,
            f"its {CONFIG} is too large",
        )
        broken = archive.testzip()
        require(broken is None, f"its {broken} is damaged")
        config = json.loads(archive.read(CONFIG))
        info = archive.getinfo(WEIGHTS)
        stored = info.compress_type == zipfile.ZIP_STORED
        require(stored, f"its {WEIGHTS} is compressed, which Keras does not do")
        weights = info.file_size
    largest = _largest(config)
    require(
        largest <= weights,
        f"its {CONFIG} has the size {largest}, {WEIGHTS} only {weights} bytes",
    )


def _largest(value) -> float:
    """Returns the largest size that the layers of a config could have."""
    if isinstance(value, dict):
        sizes = [item for key, item in value.items() if key != "seed"]
        return max(map(_largest, sizes), default=0)
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


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
