"""Predictions over a whole split, and the figures read off them."""

import dataclasses
import pathlib

import keras
import numpy as np

from smartgrowth import run_directory
from smartgrowth.data import pipeline
from smartgrowth.data.store import Data

BATCH = 128


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean cross-entropy in nats; shares of the images, 0 to 1."""

    loss: float
    accuracy: float
    top5: float


class Evaluator:
    """Forward passes of one model, compiled once for every image size."""

    def __init__(self, model: keras.Model, data: Data):
        self.model, self.data = model, data
        self.functions = {}

    def logits(self, split: str, size: int, flip: bool = False) -> np.ndarray:
        """Of all images of a split, float32 (images, classes).

        flip: of their mirror images.
        """
        part = self.data.split(split)
        batches = pipeline.make_validation(self.data, part, size, BATCH)
        if flip:
            batches = batches.map(lambda images: images[:, :, ::-1])
        # Keras keeps one predict function, whose shapes would relax.
        self.model.predict_function = self.functions.get(size)
        logits = self.model.predict(batches, verbose=0)
        self.functions[size] = self.model.predict_function
        return logits[: len(part.labels)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64, over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def score(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray | None = None,
) -> Scores:
    """Figures of (images, classes) probabilities against (images,) labels.

    classes: judge only images of these labels, and only between these.
    """
    if classes is not None:
        images = np.isin(labels, classes)
        probabilities, labels = probabilities[images], labels[images]
        absent = np.setdiff1d(np.arange(probabilities.shape[1]), classes)
        probabilities[:, absent] = 0.0
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    of_label = probabilities[np.arange(len(labels)), labels]
    # Ties count against the network.
    better = (probabilities >= of_label[:, None]).sum(axis=1) - 1
    return Scores(
        loss=float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        accuracy=float((better == 0).mean()),
        top5=float((better < 5).mean()),
    )


def write_predictions(
    directory: pathlib.Path, data: Data, probabilities: np.ndarray
) -> None:
    """Writes classes.txt and predictions.npz of a run directory.

    probabilities: (images, classes), of the validation images, in their order.
    """
    names = "\n".join(data.class_names) + "\n"
    run_directory.write_text(directory / run_directory.CLASSES, names)
    path = directory / run_directory.PREDICTIONS
    partial = path.with_name(f"partial_{path.name}")
    np.savez(
        partial,
        labels=data.validation.labels,
        probabilities=probabilities.astype(np.float32),
        ids=np.array(data.validation.ids),
    )
    partial.replace(path)
