"""Forward passes of a model over whole splits, and log.csv's metrics."""

import contextlib
import functools

import keras
import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.store import Data, Split
from smartgrowth.evaluation.activation_maps import MappedModel, map_model
from smartgrowth.evaluation.hard_examples import PICTURES
from smartgrowth.metrics.scores import Scores, score, softmax
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
        self.map_functions = {}  # likewise, for class activation maps
        # Of the validation images, (images, classes): what the last `validate`
        # found at the final size.
        self.probabilities = None

    def logits(self, part: Split, size: int, flip: bool = False) -> np.ndarray:
        """Returns the logits of images.

        Args:
          part: all of a split, or some of it.
          size: of the images, in pixels.
          flip: whether to mirror the images.

        Returns:
          float32 (images, classes).
        """
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

    def class_maps(
        self, part: Split, size: int, classes: np.ndarray
    ) -> np.ndarray | None:
        """Returns the class activation map of one class for each image.

        Args:
          part: a few images of a split, one at least.
          size: of the images, in pixels.
          classes: int (images,), the class of each map.

        Returns:
          float32 (images, height, width); None if the network has no maps.
        """
        mapped = self._mapped
        if mapped is None:
            return None
        batches = pipeline.make_validation(
            self.data, part, size, self.distribution.round_up_batch(PICTURES)
        )
        with predict_function_of(
            mapped.model,
            size,
            self.map_functions,
            prepare=self.distribution.gather_outputs,
        ):
            _, features = mapped.model.predict(
                self.distribution.shard(batches), verbose=0
            )
        return mapped.maps(features[: len(part.labels)], classes)

    @functools.cached_property
    def _mapped(self) -> MappedModel | None:
        with self.distribution.scope():
            return map_model(self.model)

    def score(self, size: int) -> Scores:
        """Returns the scores of the validation images at a size in pixels."""
        part = self.data.validation
        return score(softmax(self.logits(part, size)), part.labels)

    def accuracy(
        self, images: np.ndarray, size: int, active: np.ndarray
    ) -> float:
        """Returns the share of training images that are right, unaugmented.

        Args:
          images: indices of training images.
          size: of the images, in pixels.
          active: labels of the classes that there are.
        """
        part = self.data.train.subset(images)
        scores = score(softmax(self.logits(part, size)), part.labels, active)
        return scores.accuracy

    def validate(
        self, size: int, stage_size: int, active: np.ndarray
    ) -> dict[str, float]:
        """Returns `val_*` and `stage_val_*` of log.csv, by column.

        Args:
          size: the final image size, in pixels.
          stage_size: the stage's image size, in pixels.
          active: labels of the stage's active classes.
        """
        part = self.data.validation
        labels = part.labels
        final = at_size = softmax(self.logits(part, size))
        self.probabilities = final
        if stage_size != size:
            at_size = softmax(self.logits(part, stage_size))
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
