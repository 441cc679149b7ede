"""Images per second that augmentation delivers, against stock layers.

python benchmarks/augmentation.py [ROUNDS]

Batches of 128 images of noise in memory, at 32 and 64 px, through a tf.data
map on two cores: every variant alone, `strong` whole, and the same variants
chained from Keras layers, from keras-cv layers, and from whichever was faster
for each. All in turn in one process; a figure is the median of 5 rounds, a
ratio the median of the rounds' ratios. Beside each, the images per two seconds
of CPU time: what two cores would give with nothing else running.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if hasattr(os, "sched_setaffinity"):  # before TensorFlow counts its threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

import keras
import keras_cv
import numpy as np
import tensorflow as tf

from smartgrowth.data.augment import keras_layers
from smartgrowth.data.augment.policy import (
    PRESETS,
    VARIANTS,
    Augmentation,
    augment,
)

BATCH, ROUNDS, SECONDS = 128, 5, 0.3
SIZES = (32, 64)
LIBRARIES = {"keras": keras, "keras_cv": keras_cv}
# variant -> the nearest layer of each library. Keras has no crop of
# an image's own, so it zooms; keras-cv has no perspective.
NEAREST = {
    "flip": ("RandomFlip", "RandomFlip"),
    "shift": ("RandomTranslation", "RandomTranslation"),
    "rotation": ("RandomRotation", "RandomRotation"),
    "shear": ("RandomShear", "RandomShear"),
    "crop": ("RandomZoom", "RandomCropAndResize"),
    "perspective": ("RandomPerspective", None),
    "brightness": ("RandomBrightness", "RandomBrightness"),
    "contrast": ("RandomContrast", "RandomContrast"),
    "saturation": ("RandomSaturation", "RandomSaturation"),
    "hue": ("RandomHue", "RandomHue"),
    "grayscale": ("RandomGrayscale", "Grayscale"),
    "temperature": (None, "RandomChannelShift"),
    "channel_shuffle": (None, "ChannelShuffle"),
    "posterize": ("RandomPosterization", "Posterization"),
    "solarize": ("Solarization", "Solarization"),
    "cutout": ("RandomErasing", "RandomCutout"),
    "grid_mask": (None, "GridMask"),
    # Not part of strong.
    "zoom": ("RandomZoom", "RandomZoom"),
    "sharpness": ("RandomSharpness", "RandomSharpness"),
    "blur": ("RandomGaussianBlur", "RandomGaussianBlur"),
    "mixup": ("MixUp", "MixUp"),
    "cutmix": ("CutMix", "CutMix"),
}
STRONG = PRESETS["strong"]


def ours(size: int, augmentation: Augmentation) -> tf.data.Dataset:
    images, targets = make_batch(size)

    def shown(step):
        seed = tf.stack([tf.constant(0, tf.int64), step])
        return augment(images, targets, augmentation, 1.0, seed)

    return endless(shown)


def theirs(size: int, chain) -> tf.data.Dataset:
    """As a tutorial chains them; chain: (library, layer name) pairs."""
    images, targets = make_batch(size)
    layers = [
        (name, make_layer(library, name, size)) for library, name in chain
    ]

    def shown(step):
        made, labels = tf.cast(images, tf.float32), targets
        for name, layer in layers:
            if name in keras_layers.MIXING:
                out = layer({"images": made, "labels": labels})
                made, labels = out["images"], out["labels"]
            else:
                made = layer(made)
        return tf.cast(made, tf.uint8), labels

    return endless(shown)


def make_layer(library: str, name: str, size: int):
    arguments = dict(keras_layers.LAYERS[library].get(name, {}))
    if "target_size" in arguments:
        arguments["target_size"] = (size, size)
    make = getattr(LIBRARIES[library].layers, name)
    try:
        return make(**arguments, value_range=(0, 255), dtype="float32")
    except (TypeError, ValueError):  # it knows no range
        return make(**arguments, dtype="float32")


def make_batch(size: int):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, size, size, 3), np.uint8)
    labels = generator.integers(0, 100, BATCH)
    return tf.constant(images), tf.one_hot(labels, 100)


def endless(shown) -> tf.data.Dataset:
    dataset = tf.data.Dataset.range(2**40)
    return dataset.map(shown, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def measure(dataset: tf.data.Dataset) -> tuple[float, float]:
    """Images/s and images per two CPU-seconds, once the first are out."""
    batches, count = iter(dataset), 0
    for _ in range(4):
        next(batches)
    began, busy = time.perf_counter(), time.process_time()
    while count < 6 or time.perf_counter() - began < SECONDS:
        next(batches)
        count += 1
    images = count * BATCH
    return (
        images / (time.perf_counter() - began),
        2 * images / (time.process_time() - busy),
    )


def compare(cases: dict, rounds: int) -> dict[str, list]:
    """What `measure` says of every case in every round."""
    speeds = {label: [] for label in cases}
    for _ in range(rounds):
        for label, dataset in cases.items():
            speeds[label].append(measure(dataset))
    return speeds


def median_cpu(speeds: list) -> float:
    return statistics.median(busy for _, busy in speeds)


def show(label: str, speeds: list) -> None:
    wall, busy = zip(*speeds, strict=True)
    print(
        f"  {label:34} {statistics.median(wall):9,.0f} images/s "
        f"({min(wall):,.0f} to {max(wall):,.0f}); "
        f"{statistics.median(busy):,.0f} per 2 CPU-s",
        flush=True,
    )


def show_ratio(label: str, above: list, below: list) -> None:
    wall, busy = (
        [a[i] / b[i] for a, b in zip(above, below, strict=True)] for i in (0, 1)
    )
    print(
        f"  {label:42} {statistics.median(wall):.1f} x "
        f"({min(wall):.1f} to {max(wall):.1f}); by CPU time "
        f"{statistics.median(busy):.1f} x",
        flush=True,
    )


def main() -> None:
    tf.get_logger().setLevel("ERROR")  # keras-cv, of what it cannot vectorize
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))(0)
    print(
        f"{len(cores)} cores; strong is {len(STRONG)} variants: "
        f"{', '.join(STRONG)}"
    )
    for size in SIZES:
        measure_size(size, rounds)


def measure_size(size: int, rounds: int) -> None:
    print(f"\n{size} px, each alone; ours, then what comes nearest")
    faster = {}
    for name in [*VARIANTS, "mixup", "cutmix"]:
        alone = (
            Augmentation(**{name: 1.0})
            if name in ("mixup", "cutmix")
            else Augmentation((name,))
        )
        cases = {name: ours(size, alone)}
        pair = zip(LIBRARIES, NEAREST.get(name, (None, None)), strict=True)
        known = {f"  {a} {b}": (a, b) for a, b in pair if b}
        cases |= {label: theirs(size, [link]) for label, link in known.items()}
        speeds = compare(cases, rounds)
        for label, figures in speeds.items():
            show(label, figures)
        if known and name in STRONG:
            best = max(known, key=lambda k: median_cpu(speeds[k]))
            faster[name] = known[best]
    print(f"\n{size} px, together")
    chains = {
        library: [(library, NEAREST[v][i]) for v in STRONG if NEAREST[v][i]]
        for i, library in enumerate(LIBRARIES)
    } | {"faster of both": list(faster.values())}
    speeds = compare(
        {
            "none": ours(size, Augmentation()),
            "basic": ours(size, Augmentation(PRESETS["basic"])),
            "strong": ours(size, Augmentation(STRONG)),
            "strong, sharpness and blur": ours(
                size, Augmentation((*STRONG, "sharpness", "blur"))
            ),
            "strong, noise": ours(size, Augmentation((*STRONG, "noise"))),
            "strong, mixup and cutmix": ours(
                size, Augmentation(STRONG, mixup=0.5, cutmix=0.5)
            ),
            "all of them": ours(
                size, Augmentation(tuple(VARIANTS), mixup=0.5, cutmix=0.5)
            ),
            "randaugment:2:0.5": ours(
                size, Augmentation(chosen=2, magnitude=0.5)
            ),
        }
        | {
            f"{library}, {len(chain)} layers": theirs(size, chain)
            for library, chain in chains.items()
        },
        rounds,
    )
    for label, figures in speeds.items():
        show(label, figures)
    for label in list(speeds)[-len(chains) :]:
        show_ratio(f"strong against {label}", speeds["strong"], speeds[label])


if __name__ == "__main__":
    main()
