"""What frozen layers make of a stage's images, computed once and kept on disk.

While they are frozen and no image is changed at random, they make the same of
an image at every step. The file lies with the images and is named after all
that it depends on, so that other runs find it.
"""

import contextlib
import hashlib
import pathlib

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.data import pipeline
from smartgrowth.data.store import Data
from smartgrowth.experiment import Experiment
from smartgrowth.models import freezing
from smartgrowth.models.groups import trained_groups
from smartgrowth.runtime.atomic import atomic_path
from smartgrowth.runtime.reporter import REPORTER, say
from smartgrowth.stages import Stage

FOLDER, BATCH, KEEP = "activations", 128, 8  # files, the newest ones


def precompute(
    experiment: Experiment, model: keras.Model, stage: Stage
) -> pipeline.Activations:
    """Returns what the frozen layers make of a stage's images.

    Args:
      model: the whole network, with the layers frozen that the stage does not
        train.

    Raises:
      UserError: there is no room for it.
    """
    data, size = experiment.data, stage.image_size
    first = trained_groups(freezing.group_names(model), stage.trainable)[0]
    frozen = keras.Model(model.input, freezing.input_of(model, first))
    images = np.unique(experiment.stage_images(stage))
    folder = data.train.directory / FOLDER
    path = folder / f"{_digest(frozen, data, images, size)}.npy"
    dtype = keras.backend.standardize_dtype(frozen.output.dtype)
    values = _read(path)
    if values is None:
        try:
            folder.mkdir(exist_ok=True)
            _write(path, frozen, data, images, size)
            _remove_old(folder)
        except OSError as error:
            raise UserError(
                f"stage {stage.index + 1}: no room in {folder} for what the "
                f"frozen layers make of {len(images):,} images "
                f"({error.strerror or error}); make room, or give "
                "--precompute=false"
            ) from error
        values = _read(path)
    rows = np.full(len(data.train.labels), -1, np.int64)
    rows[images] = np.arange(len(images))
    return pipeline.Activations(values, rows, dtype)


def _read(path: pathlib.Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="c")
    except (OSError, ValueError):
        return None


def _write(
    path: pathlib.Path,
    frozen: keras.Model,
    data: Data,
    images: np.ndarray,
    size: int,
) -> None:
    """Writes a row for each image, batch by batch."""
    part = data.train.subset(images)
    batches = pipeline.make_validation(data, part, size, BATCH)
    count_down = REPORTER.countdown("precomputing: image", len(images))
    with atomic_path(path) as partial:
        values, done = None, 0
        for batch in batches.as_numpy_iterator():
            made = np.asarray(frozen.predict_on_batch(batch))
            if made.dtype.kind == "V" or made.dtype.name == "bfloat16":
                made = made.view(np.uint16)
            if values is None:
                values = np.lib.format.open_memmap(
                    partial, "w+", made.dtype, (len(images), *made.shape[1:])
                )
            count = min(len(images) - done, len(made))
            values[done : done + count] = made[:count]
            done += count
            count_down(done)
        values.flush()
    say(f"precomputed: what the frozen layers make of {len(images):,} images")


def _digest(frozen: keras.Model, data: Data, images, size: int) -> str:
    """Returns a name of all that the values depend on."""
    facts = (
        keras.backend.backend(),
        data.content,
        data.pixels,
        size,
        str(frozen.output.dtype),
        str(frozen.output.shape),
    )
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(images.tobytes())
    for layer in frozen.layers:
        if isinstance(layer, keras.layers.Normalization):
            for value in (layer.mean, layer.variance):
                digest.update(np.asarray(value).tobytes())
    for variable in frozen.variables:
        digest.update(np.asarray(variable).tobytes())
    return digest.hexdigest()[:32]


def _remove_old(folder: pathlib.Path) -> None:
    """Removes all but the newest files."""
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for path in files[:-KEEP]:
        with contextlib.suppress(OSError):
            path.unlink()
