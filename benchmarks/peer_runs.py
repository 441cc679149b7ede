"""One training of `time_to_accuracy.py`, in a process of its own.

python benchmarks/peer_runs.py SETTINGS.json RESULT.json

The settings name a tool of `TOOLS`. Its clock starts once everything is
imported and the files are in place, and runs through all that follows: reading
them, building and tracing the network, stage boundaries, evaluations.
"""

import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Clock:
    """Notes every evaluation, with the seconds since the clock was made.

    label: of the run, for its lines of progress.
    """

    def __init__(self, label: str):
        self.label, self.points = label, []
        self.began = time.perf_counter()

    def add(self, accuracy: float, size: int) -> None:
        """Notes a validation accuracy, found on images of `size` pixels."""
        seconds = time.perf_counter() - self.began
        self.points.append(
            {
                "seconds": round(seconds, 3),
                "accuracy": float(accuracy),
                "size": size,
            }
        )
        print(
            f"  {self.label}: {seconds:6.1f} s  {accuracy:6.1%} at {size} px",
            flush=True,
        )


def train_ours(settings: dict) -> tuple[Clock, dict]:
    """This program, with `flags`, as its main module runs it."""
    from smartgrowth import command_line
    from smartgrowth.data.load import open_data
    from smartgrowth.experiment import make_experiment
    from smartgrowth.runtime import backend, surroundings
    from smartgrowth.runtime.reporter import REPORTER

    surroundings.settle()
    REPORTER.muted = True  # the clock says enough
    config = command_line.from_flag_lines(settings["flags"])
    data = open_data(config)
    backend.start()
    from smartgrowth.training import train
    from smartgrowth.training.run_log import RunLog

    add = RunLog.add

    def add_and_note(self, rows):
        clock.add(rows[-1]["val_accuracy"], config.final_size)
        add(self, rows)

    RunLog.add = add_and_note
    clock = Clock(settings["label"])
    experiment = make_experiment(config, data)
    train.train(experiment)
    return clock, {"parameters": experiment.network.count_parameters()}


def train_keras(settings: dict) -> tuple[Clock, dict]:
    """Stock Keras as its tutorials have it, the network in stock layers.

    https://keras.io/examples/vision/image_classification_from_scratch: images
    of folders, cached once they are resized, augmented by layers within the
    pipeline, which that page advises for CPUs; float32.
    """
    from smartgrowth.models.network import Network
    from smartgrowth.runtime import backend

    backend.start()
    import keras
    import tensorflow as tf

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            clock.add(logs["val_accuracy"], size)

    size, batch, folder = settings["size"], 64, settings["folder"]
    clock = Clock(settings["label"])
    keras.utils.set_random_seed(settings["seed"])
    training, validation = (
        keras.utils.image_dataset_from_directory(
            f"{folder}/{split}",
            image_size=(size, size),
            batch_size=None,
            shuffle=False,
            verbose=False,
        ).cache()
        for split in ("train", "val")
    )
    count = int(training.cardinality())
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.RandomRotation(0.03),
        ]
    )
    training = (
        training.shuffle(count)
        .batch(batch)
        .map(
            lambda images, labels: (augment(images, training=True), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )
    validation = validation.batch(128).prefetch(tf.data.AUTOTUNE)
    depth, width = tuple(settings["depths"]), settings["width"]
    network = Network("resnet", settings["num_classes"], width, depth)
    model = network.build(settings["mean"], settings["variance"], stock=True)
    epochs = settings["epochs"]
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["lr"], epochs * -(-count // batch)
    )
    model.compile(
        keras.optimizers.AdamW(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        training,
        validation_data=validation,
        epochs=epochs,
        verbose=0,
        callbacks=[Note()],
    )
    weights = model.trainable_variables
    return clock, {"parameters": sum(math.prod(w.shape) for w in weights)}


def train_fastai(settings: dict) -> tuple[Clock, dict]:
    """fastai with its defaults: progressive resizing, one cycle per stage.

    Each stage validates at its own size, as fastai does. `channels_last` is
    what fastai leaves to the user, and may be faster.
    """
    from fastai.callback.channelslast import ChannelsLast
    from fastai.vision import all as fastai

    class Note(fastai.Callback):
        order = fastai.Recorder.order + 1  # which has the metric by then

        def after_epoch(self):
            clock.add(self.learn.recorder.values[-1][-1], size)

    clock = Clock(settings["label"])
    fastai.set_seed(settings["seed"])
    network = make_torch_network(
        settings["num_classes"], settings["width"], settings["depths"]
    )
    learner = None
    for size in settings["sizes"]:
        loaders = fastai.ImageDataLoaders.from_folder(
            settings["folder"],
            train="train",
            valid="val",
            item_tfms=fastai.Resize(size),
            batch_tfms=[
                *fastai.aug_transforms(),
                fastai.Normalize.from_stats(*fastai.imagenet_stats),
            ],
        )
        if learner is None:
            learner = fastai.Learner(
                loaders,
                network,
                loss_func=fastai.CrossEntropyLossFlat(),
                metrics=fastai.accuracy,
                cbs=[ChannelsLast()] if settings["channels_last"] else None,
            )
        learner.dls = loaders
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(
                settings["epochs"], settings["lr"], cbs=[Note()]
            )
    return clock, {"parameters": sum(w.numel() for w in network.parameters())}


def make_torch_network(num_classes: int, width: int, depths: Sequence[int]):
    """Returns this program's `resnet` as a torch module.

    Layers, initial values and batch norm's settings are those of
    `models/resnet.py`; images are normalized before. depths: blocks of each
    stage.
    """
    import torch
    from torch import nn

    def conv(channels, filters, kernel=3, groups=1, bias=False):
        layer = nn.Conv2d(
            channels, filters, kernel, 1, kernel // 2, groups=groups, bias=bias
        )
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if bias:
            nn.init.zeros_(layer.bias)
        return layer

    def conv_norm_relu(channels, filters):
        return nn.Sequential(
            conv(channels, filters), nn.BatchNorm2d(filters), nn.ReLU()
        )

    class Residual(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.branch = nn.Sequential(
                conv(channels, channels, groups=channels),
                conv(channels, channels, 1),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                conv(channels, channels, groups=channels),
                conv(channels, channels, 1),
                nn.BatchNorm2d(channels),
            )
            nn.init.zeros_(self.branch[-1].weight)

        def forward(self, x):
            return nn.functional.relu(x + self.branch(x))

    class Widen(nn.Module):
        """Pools, and concatenates as many new channels."""

        def __init__(self, channels):
            super().__init__()
            self.pool = nn.MaxPool2d(2, ceil_mode=True)
            self.new = conv_norm_relu(channels, channels)

        def forward(self, x):
            x = self.pool(x)
            return torch.cat((x, self.new(x)), dim=1)

    layers = [conv_norm_relu(3, width)]
    for stage, blocks in enumerate(depths):
        if stage:
            layers.append(Widen(width * 2 ** (stage - 1)))
        layers += [Residual(width * 2**stage) for _ in range(blocks)]
    layers.append(conv(width * 8, num_classes, bias=True))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


TOOLS = {"ours": train_ours, "keras": train_keras, "fastai": train_fastai}


def main() -> None:
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    load = os.getloadavg()[0]
    clock, facts = TOOLS[settings["tool"]](settings)
    text = json.dumps(
        {"settings": settings, "load": load, **facts, "points": clock.points}
    )
    pathlib.Path(sys.argv[2]).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
