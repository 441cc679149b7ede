"""Predictions over a whole split, and the figures read off them."""

import contextlib
import dataclasses
import math

import keras
import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.store import VALIDATION, Data
from smartgrowth.team import ALONE, Team

BATCH = 128


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean cross-entropy in nats; shares of the images, 0 to 1."""

    loss: float
    accuracy: float
    top5: float


class Evaluator:
    """Forward passes of one model, compiled once for every image size.

    team: the devices that make them.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        team: Team = ALONE,
    ):
        self.model, self.data, self.team = model, data, team
        self.functions = {}

    def logits(self, split: str, size: int, flip: bool = False) -> np.ndarray:
        """Of all images of a split, float32 (images, classes).

        flip: of their mirror images.
        """
        part = self.data.split(split)
        batches = pipeline.make_validation(
            self.data, part, size, self.team.round_up(BATCH)
        )
        if flip:
            batches = batches.map(lambda images: images[:, :, ::-1])
        with self._function_of(size):
            logits = self.model.predict(self.team.own_rows(batches), verbose=0)
        return logits[: len(part.labels)]

    def validate(
        self, size: int, stage_size: int, entered: np.ndarray
    ) -> dict[str, float]:
        """The figures of log.csv: `val_*` and `stage_val_*`, by column.

        size: final image size in pixels. stage_size: the stage's. entered:
        labels of the classes that have entered.
        """
        labels = self.data.validation.labels
        final = softmax(self.logits(VALIDATION, size))
        at_size = final
        if stage_size != size:
            at_size = softmax(self.logits(VALIDATION, stage_size))
        scores, seen = score(final, labels), score(at_size, labels, entered)
        return {
            "val_loss": scores.loss,
            "val_accuracy": scores.accuracy,
            "val_top5": scores.top5,
            "val_accuracy_at_size": score(at_size, labels).accuracy,
            "stage_val_loss": seen.loss,
            "stage_val_accuracy": seen.accuracy,
        }

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Logits of a single batch, float32 (images, classes).

        images: uint8 (images, size, size, 3).
        """
        with self._function_of(images.shape[1]):
            return self.model.predict_on_batch(images)

    @contextlib.contextmanager
    def _function_of(self, size: int):
        # Keras keeps one predict function, whose shapes would relax; of several
        # steps at once it would make one large graph.
        self.model.predict_function = self.functions.get(size)
        if self.model.predict_function is None:
            self.team.whole_outputs(self.model)
        steps, self.model.steps_per_execution = (
            self.model.steps_per_execution,
            1,
        )
        yield
        self.functions[size] = self.model.predict_function
        self.model.steps_per_execution = steps


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

    classes: judge only images of these labels, and only between these. All
      figures are NaN if there is no such image.
    """
    if classes is not None:
        classes = np.sort(classes)
        images = np.isin(labels, classes)
        labels = np.searchsorted(classes, labels[images])
        probabilities = probabilities[images][:, classes]
        total = probabilities.sum(axis=1, keepdims=True)
        probabilities = probabilities / np.maximum(total, 1e-300)
    if not len(labels):
        return Scores(math.nan, math.nan, math.nan)
    of_label = probabilities[np.arange(len(labels)), labels]
    # Ties count against the network, and so does what is not a number.
    worse = (probabilities < of_label[:, None]).sum(axis=1)
    better = probabilities.shape[1] - 1 - worse
    return Scores(
        loss=float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        accuracy=float((better == 0).mean()),
        top5=float((better < 5).mean()),
    )
