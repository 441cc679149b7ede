"""Forward passes of a model over whole splits, and log.csv's metrics."""

import contextlib

import keras
import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.store import VALIDATION, Data
from smartgrowth.metrics.scores import score, softmax
from smartgrowth.runtime.distribution import SINGLE_DEVICE, Distribution
from smartgrowth.runtime.keras_internals import predict_function_of

BATCH = 128


class Evaluator:
    """Forward passes of one model, compiled once for every image size.

    Args:
      model: with logits as output.
      data: its splits.
      distribution: the devices that run them.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        distribution: Distribution = SINGLE_DEVICE,
    ):
        self.model, self.data, self.distribution = model, data, distribution
        self.functions = {}  # image size -> what Keras compiled for it

    def logits(self, split: str, size: int, flip: bool = False) -> np.ndarray:
        """Returns the logits of every image of a split.

        Args:
          split: `TRAIN` or `VALIDATION`.
          size: of the images, in pixels.
          flip: whether to mirror the images.

        Returns:
          float32 (images, classes).
        """
        part = self.data.split(split)
        batches = pipeline.make_validation(
            self.data, part, size, self.distribution.round_up_batch(BATCH)
        )
        if flip:
            batches = batches.map(lambda images: images[:, :, ::-1])
        with self._compiled_for(size):
            logits = self.model.predict(
                self.distribution.shard(batches), verbose=0
            )
        return logits[: len(part.labels)]

    def validate(
        self, size: int, stage_size: int, active: np.ndarray
    ) -> dict[str, float]:
        """Returns `val_*` and `stage_val_*` of log.csv, by column.

        Args:
          size: the final image size, in pixels.
          stage_size: the stage's image size, in pixels.
          active: labels of the stage's active classes.
        """
        labels = self.data.validation.labels
        final = softmax(self.logits(VALIDATION, size))
        at_size = final
        if stage_size != size:
            at_size = softmax(self.logits(VALIDATION, stage_size))
        scores, seen = score(final, labels), score(at_size, labels, active)
        return {
            "val_loss": scores.loss,
            "val_accuracy": scores.accuracy,
            "val_top5": scores.top5,
            "val_accuracy_at_size": score(at_size, labels).accuracy,
            "stage_val_loss": seen.loss,
            "stage_val_accuracy": seen.accuracy,
        }

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits of a single batch, float32 (images, classes).

        Args:
          images: uint8 (images, size, size, 3).
        """
        with self._compiled_for(images.shape[1]):
            return self.model.predict_on_batch(images)

    def _compiled_for(self, size: int) -> contextlib.AbstractContextManager:
        return predict_function_of(
            self.model,
            size,
            self.functions,
            prepare=self.distribution.gather_outputs,
        )
