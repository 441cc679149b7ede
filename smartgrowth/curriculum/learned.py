"""A small network, trained for a minute to classify the training images.

Its features serve `descriptors`; it is not the network that a run trains.
"""

import keras
import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.augment import policy
from smartgrowth.data.store import Data
from smartgrowth.models.network import Network
from smartgrowth.optim import losses, optimizers, schedules
from smartgrowth.optim.rates import RateTables
from smartgrowth.runtime import devices
from smartgrowth.runtime.reporter import REPORTER, Reporter
from smartgrowth.stages import Stage

# 150 seconds on one core (EPYC), with the features of 50,000 images.
STEPS, BATCH, WIDTH, DEPTH = 1000, 64, 32, 1
RATE, WEIGHT_DECAY = 0.006, 0.05
SEED = 0


def learn_features(
    data: Data,
    size: int,
    *,
    deterministic: bool = False,
    reporter: Reporter = REPORTER,
) -> np.ndarray:
    """Returns the inputs of the network's head, averaged over each image.

    This seeds Keras' generators with `SEED`; a network made afterwards needs
    a seed of its own.

    Args:
      data: to be trained on.
      size: side of the images in pixels.
      deterministic: whether ops must be deterministic.
      reporter: prints progress.

    Returns:
      float32 (N, 8 * WIDTH), a row for each image of `data.train`.
    """
    devices.seed_everything(SEED, deterministic)
    model = _train(data, size, reporter)
    convolutions = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    head = convolutions[-1]
    pooled = keras.layers.GlobalAveragePooling2D()(head.input)
    images = pipeline.make_validation(data, data.train, size, 4 * BATCH)
    features = keras.Model(model.input, pooled).predict(images, verbose=0)
    return features[: len(data.train.labels)]  # the last batch is padded


def _train(data: Data, size: int, reporter: Reporter) -> keras.Model:
    count, classes = len(data.train.labels), len(data.class_names)
    network = Network("resnet", classes, WIDTH, DEPTH)
    model = network.build(data.mean, data.variance)
    optimizer = optimizers.make_optimizer(
        "adamw", WEIGHT_DECAY, model.trainable_variables, loss_scale=False
    )
    optimizer.install_tables(
        RateTables(
            *schedules.make_tables("one_cycle", RATE, [STEPS], per_stage=False)
        )
    )
    model.compile(
        optimizer=optimizer,
        loss=losses.masked_crossentropy,
        jit_compile=devices.uses_xla(devices.find_machine()),
    )
    stage = Stage(
        index=0,
        steps=STEPS,
        batch_size=min(BATCH, count),
        image_size=size,
        num_classes=classes,
        num_images=count,
    )
    batches = pipeline.make_batches(
        data,
        stage,
        np.arange(count),
        np.arange(classes),
        seed=SEED,
        augmentation=policy.Augmentation(("flip", "shift")),
    )
    count_down = reporter.countdown("step", STEPS)
    progress = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: count_down(batch + 1)
    )
    model.fit(batches(0, STEPS), verbose=0, shuffle=False, callbacks=[progress])
    return model
