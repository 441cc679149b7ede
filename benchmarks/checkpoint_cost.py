"""What checkpoints cost beside training, for a small and a large network.

python benchmarks/checkpoint_cost.py [--steps=8]

Trains each network with and without a checkpoint per round, in turn, in one
process: the difference of the medians is what a checkpoint costs, its share of
`--checkpoint_minutes` (5) the default price. Written to the system's folder
for temporary files. The last line is JSON.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from smartgrowth.models.network import Network
from smartgrowth.optim import losses, optimizers
from smartgrowth.optim.rates import RateTables
from smartgrowth.runs.lease import Lease
from smartgrowth.runtime import devices
from smartgrowth.training.checkpointing import CheckpointManager
from smartgrowth.training.progress import Progress

SIZE, CLASSES, ROUNDS = 32, 100, 7
INTERVAL = 300.0  # seconds, the default
NETWORKS = {
    "default": (Network("resnet", CLASSES), 64),
    # The largest that the assignment's rules allow.
    "26 M parameters": (Network("resnet_dense", CLASSES, width=86), 8),
}


def measure(network: Network, batch: int, steps: int, folder) -> dict:
    """Returns seconds of a checkpoint: in all, and of the training."""
    machine = devices.find_machine()
    policy, _ = devices.choose_precision("auto", machine)
    keras.utils.set_random_seed(0)
    model = network.build([128.0] * 3, [4096.0] * 3, policy)
    optimizer = optimizers.make_optimizer(
        "adamw", 0.05, model.trainable_variables, loss_scale=False
    )
    optimizer.install_tables(RateTables(np.full(9, 0.001), np.full(9, 0.9)))
    accuracy = losses.make_accuracy()
    model.compile(
        optimizer,
        losses.masked_crossentropy,
        metrics=[accuracy],
        jit_compile=devices.uses_xla(machine),
    )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, SIZE, SIZE, 3), np.uint8)
    targets = np.eye(CLASSES, dtype=np.float32)[
        generator.integers(0, CLASSES, batch)
    ]
    batches = tf.data.Dataset.from_tensors((images, targets)).repeat(steps)
    model.fit(batches.take(2), verbose=0, shuffle=False)
    seconds = {"without": [], "with": [], "alone": []}
    with (
        Lease(pathlib.Path(folder), "benchmark") as lease,
        CheckpointManager(
            pathlib.Path(folder), lease, model, accuracy, {}, INTERVAL
        ) as manager,
    ):
        progress = Progress([0.0], [0.0])
        for _ in range(ROUNDS):
            for way, times in seconds.items():
                began = time.perf_counter()
                if way != "without":
                    manager.save(progress)
                if way == "alone":
                    manager.settle()
                else:
                    model.fit(batches, verbose=0, shuffle=False)
                times.append(time.perf_counter() - began)
                manager.settle()
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    differences = [
        with_it - without
        for with_it, without in zip(
            seconds["with"], seconds["without"], strict=True
        )
    ]
    beside = statistics.median(differences)
    return {
        "parameters": network.count_parameters(),
        "training_seconds": round(medians["without"], 3),
        "checkpoint_alone_seconds": round(medians["alone"], 3),
        "checkpoint_beside_seconds": round(beside, 3),
        "spread": [round(min(differences), 3), round(max(differences), 3)],
        "share_of_interval": round(beside / INTERVAL, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8)
    steps = parser.parse_args().steps
    figures = {}
    for name, (network, batch) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = measure(network, batch, steps, folder)
        print(f"{name}: {figures[name]}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
