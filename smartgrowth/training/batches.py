"""The training batches of one stage."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from smartgrowth.curriculum import orders
from smartgrowth.data import pipeline
from smartgrowth.data.augment.policy import Augmentation
from smartgrowth.experiment import Experiment
from smartgrowth.plan import Stage


def stage_batches(
    experiment: Experiment, stage: Stage, augmentation: Augmentation
) -> Callable[[int, int], tf.data.Dataset]:
    """Chooses what a stage shows; returns what makes datasets of its steps.

    See `pipeline.make_batches`.

    Args:
      augmentation: what is done to the images, at the stage's strength.
    """
    config = experiment.config
    images = orders.stage_images(
        stage, experiment.class_order, experiment.image_order
    )
    return pipeline.make_batches(
        experiment.data,
        stage,
        images,
        experiment.active_classes(stage),
        seed=config.seed,
        augmentation=augmentation,
        label_smoothing=config.label_smoothing,
        hard=np.intersect1d(experiment.hard_images, images),
        balanced=config.balance == "oversample",
    )
