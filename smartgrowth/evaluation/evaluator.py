"""Predictions over a whole split, and the figures read off them."""

import contextlib

import keras
import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.store import VALIDATION, Data
from smartgrowth.metrics.scores import score, softmax
from smartgrowth.runtime.distribution import ALONE, Team

BATCH = 128


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
