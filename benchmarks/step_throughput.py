"""Training steps per second: this package's network against stock Keras.

python benchmarks/step_throughput.py

Both sides train the same network at 32 px on the same batches, in turn, in one
process; a figure is the median of 5 rounds, a ratio the median of the rounds'
ratios. "stock" is what a tutorial does: float32, keras.layers.
BatchNormalization, keras.optimizers.SGD.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from smartgrowth.models.network import Network
from smartgrowth.optim import losses, optimizers
from smartgrowth.runtime import devices

SIZE, BATCH, CLASSES = 32, 64, 10
STEPS, ROUNDS = 12, 5
NETWORKS = {
    "default resnet": Network("resnet", CLASSES),
    "dense cnn": Network("cnn", CLASSES, depth=4),
}


def make_batches() -> tf.data.Dataset:
    """`STEPS` times one batch of noise; the contents do not change the work."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    labels = generator.integers(0, CLASSES, BATCH)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    return tf.data.Dataset.from_tensors((images, targets)).repeat(STEPS)


def make_stock(network: Network) -> keras.Model:
    """Compiled as a tutorial does."""
    model = network.build([128.0] * 3, [4096.0] * 3, stock=True)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def make_ours(network: Network, policy: str) -> keras.Model:
    """Compiled as the driver does."""
    model = network.build([128.0] * 3, [4096.0] * 3, policy)
    optimizer = optimizers.make_optimizer(
        "sgd", 5e-4, model.trainable_variables, loss_scale=False
    )
    optimizer.install_tables([0.01], [0.9])
    model.compile(
        optimizer,
        losses.masked_crossentropy,
        metrics=[losses.make_accuracy()],
        jit_compile=False,
    )
    return model


def main() -> None:
    machine = devices.find_machine()
    policy, why = devices.choose_precision("auto", machine)
    print(f"{machine.name}, {os.cpu_count()} cores; auto is {policy}: {why}")
    batches = make_batches()
    for name, network in NETWORKS.items():
        models = {
            "stock float32": make_stock(network),
            "ours float32": make_ours(network, "float32"),
            f"ours {policy}": make_ours(network, policy),
        }
        print(
            f"\n{name}: {network.count_parameters():,} parameters, "
            f"{network.flops_per_image(SIZE) / 1e6:.0f} MFLOPs forward"
        )
        speeds = {label: [] for label in models}
        for model in models.values():
            model.fit(batches, verbose=0, shuffle=False)  # compiles
        for _ in range(ROUNDS):
            for label, model in models.items():
                began = time.perf_counter()
                model.fit(batches, verbose=0, shuffle=False)
                seconds = time.perf_counter() - began
                speeds[label].append(BATCH * STEPS / seconds)
        stock = speeds["stock float32"]
        for label, rounds in speeds.items():
            ratios = [a / b for a, b in zip(rounds, stock, strict=True)]
            print(
                f"  {label:20} {statistics.median(rounds):7,.0f} images/s  "
                f"{statistics.median(ratios):5.2f} x stock "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
