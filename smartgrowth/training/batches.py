"""The training batches that a run's settings and orders make of its data."""

from collections.abc import Sequence

import numpy as np

from smartgrowth.config import Config
from smartgrowth.curriculum import orders
from smartgrowth.data import pipeline
from smartgrowth.data.augment import policy
from smartgrowth.data.store import Data
from smartgrowth.plan import Stage


class Batches:
    """What every stage of a run shows.

    Args:
      classes, samples: the run's orders; see `prepare`.
      hard: training images that come back in later stages, int64 (K,).
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        classes: np.ndarray,
        samples: Sequence[np.ndarray],
        hard: np.ndarray,
    ):
        self.config, self.data = config, data
        self.classes, self.samples, self.hard = classes, samples, hard
        self.augmentation = policy.choose(config)

    def of(self, stage: Stage, first_step: int, last_step: int):
        """A tf.data.Dataset of some of a stage's steps."""
        images = orders.stage_images(stage, self.classes, self.samples)
        drawn = images
        if self.config.balance == "oversample":
            drawn = orders.oversample(images, self.data.train.labels)
        return pipeline.make_dataset(
            self.data,
            stage,
            drawn,
            self.classes[: stage.num_classes],
            first_step=first_step,
            last_step=last_step,
            seed=self.config.seed,
            augmentation=self.augmentation,
            label_smoothing=self.config.label_smoothing,
            hard=np.intersect1d(self.hard, images),
        )
