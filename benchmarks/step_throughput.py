"""Training steps per second: this package's network against stock Keras.

python benchmarks/step_throughput.py [--sizes=16,32,64] [--rounds=5]
    [--networks=resnet:32:2,resnet_dense:32:2] [--batch=64] [--steps=12]

Both sides train the same network on the same batches, in turn, in one process;
a figure is the median of the rounds, a ratio the median of the rounds' ratios.
"stock" is what a tutorial does: float32, keras.layers.BatchNormalization,
keras.optimizers.AdamW. A network is a name, its width and its depth. The first
step, which is traced and optimized, is timed apart. The last line is JSON.

To see a processor with AVX2 alone on one that has more:
ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/step_throughput.py --policy=float32
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# As the program has it, for both sides.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import tensorflow as tf

from smartgrowth.models.network import Network
from smartgrowth.optim import losses, optimizers
from smartgrowth.optim.rates import RateTables
from smartgrowth.runtime import devices

CLASSES = 10


def make_batches(size: int, batch: int, steps: int) -> tf.data.Dataset:
    """`steps` times one batch of noise; the contents do not change the work."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, size, size, 3), np.uint8)
    labels = generator.integers(0, CLASSES, batch)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    return tf.data.Dataset.from_tensors((images, targets)).repeat(steps)


def make_stock(network: Network) -> keras.Model:
    """Compiled as a tutorial does."""
    model = network.build([128.0] * 3, [4096.0] * 3, stock=True)
    model.compile(
        keras.optimizers.AdamW(0.001),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def make_ours(network: Network, policy: str) -> keras.Model:
    """Compiled as the driver does."""
    model = network.build([128.0] * 3, [4096.0] * 3, policy)
    optimizer = optimizers.make_optimizer(
        "adamw", 0.004, model.trainable_variables, loss_scale=False
    )
    optimizer.install_tables(RateTables(np.full(9, 0.001), np.full(9, 0.9)))
    model.compile(
        optimizer,
        losses.masked_crossentropy,
        metrics=[losses.make_accuracy()],
        jit_compile=devices.uses_xla(devices.find_machine()),
    )
    return model


def measure(network: Network, size: int, policy: str, given) -> dict:
    """Returns images/s and ratios to stock, by way of training."""
    models = {
        "stock float32": make_stock(network),
        "ours float32": make_ours(network, "float32"),
        f"ours {policy}": make_ours(network, policy),
    }
    batches = make_batches(size, given.batch, given.steps)
    first, speeds = {}, {}
    for label, model in models.items():
        began = time.perf_counter()
        model.fit(batches.take(1), verbose=0, shuffle=False)
        first[label] = time.perf_counter() - began
        speeds[label] = []
    for _ in range(given.rounds):
        for label, model in models.items():
            began = time.perf_counter()
            model.fit(batches, verbose=0, shuffle=False)
            seconds = time.perf_counter() - began
            speeds[label].append(given.batch * given.steps / seconds)
    figures = {}
    for label, found in speeds.items():
        stock = speeds["stock float32"]
        ratios = [a / b for a, b in zip(found, stock, strict=True)]
        figures[label] = {
            "images_per_second": round(statistics.median(found)),
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            "first_step_seconds": round(first[label], 1),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="16,32,64")
    parser.add_argument("--networks", default="resnet:32:2,resnet_dense:32:2")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--policy", default="auto")
    given = parser.parse_args()
    machine = devices.find_machine()
    policy, why = devices.choose_precision(given.policy, machine)
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "none")
    print(
        f"{machine.name}, {os.cpu_count()} cores, oneDNN limited to {limit}; "
        f"{policy}: {why}"
    )
    figures = {}
    for name in given.networks.split(","):
        model, width, depth = name.split(":")
        network = Network(model, CLASSES, int(width), int(depth))
        for size in map(int, given.sizes.split(",")):
            keras.utils.clear_session()
            found = measure(network, size, policy, given)
            figures[f"{name}, {size} px"] = found
            print(
                f"\n{name}: {network.count_parameters():,} parameters, {size} "
                f"px, {network.flops_per_image(size) / 1e6:.0f} MFLOPs forward"
            )
            for label, each in found.items():
                low, high = each["spread"]
                print(
                    f"  {label:20} {each['images_per_second']:7,} images/s  "
                    f"{each['ratio']:5.2f} x stock ({low:.2f} to {high:.2f})  "
                    f"first step {each['first_step_seconds']:.1f} s",
                    flush=True,
                )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
