"""The training batches of one stage."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from smartgrowth.data import pipeline
from smartgrowth.data.augment.policy import Augmentation
from smartgrowth.experiment import Experiment
from smartgrowth.stages import Stage
from smartgrowth.training.precompute import precompute


def stage_batches(
    experiment: Experiment,
    stage: Stage,
    augmentation: Augmentation,
    model: keras.Model | None = None,
) -> Callable[[int, int], tf.data.Dataset]:
    """Chooses what a stage shows; returns what makes datasets of its steps.

    See `pipeline.make_batches`.

    Args:
      augmentation: what is done to the images, at the stage's strength.
      model: the network that is trained; what its frozen layers make of the
        images is shown instead, where the stage says so.

    Raises:
      UserError: there is no room for that.
    """
    config, activations = experiment.config, None
    if model and stage.precomputed:
        activations = precompute(experiment, model, stage)
    images = experiment.stage_images(stage)
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
        activations=activations,
        cut_from=config.final_size if config.grow_by == "crop" else None,
    )
