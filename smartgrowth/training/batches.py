"""The training batches of one stage."""

import numpy as np
import tensorflow as tf

from smartgrowth.curriculum import orders
from smartgrowth.data import pipeline
from smartgrowth.data.augment.policy import Augmentation
from smartgrowth.experiment import Experiment
from smartgrowth.plan import Stage


class StageBatches:
    """What a stage shows: its images, chosen once, and datasets of its steps.

    Args:
      augmentation: what is done to the images, at the stage's strength.
    """

    def __init__(
        self, experiment: Experiment, stage: Stage, augmentation: Augmentation
    ):
        self.experiment, self.stage = experiment, stage
        self.augmentation = augmentation
        images = orders.stage_images(
            stage, experiment.class_order, experiment.image_order
        )
        self.hard = np.intersect1d(experiment.hard_images, images)
        self.images = images

    def dataset(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """Returns the batches of steps first_step..last_step - 1 of the run.

        See `pipeline.make_dataset` for shapes and dtypes.
        """
        config = self.experiment.config
        return pipeline.make_dataset(
            self.experiment.data,
            self.stage,
            self.images,
            self.experiment.active_classes(self.stage),
            first_step=first_step,
            last_step=last_step,
            seed=config.seed,
            augmentation=self.augmentation,
            label_smoothing=config.label_smoothing,
            hard=self.hard,
            balanced=config.balance == "oversample",
        )
