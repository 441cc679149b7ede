"""Images per second that the input pipeline delivers, without a network.

python benchmarks/pipeline_throughput.py

Batches of 128 from a store of 20,000 images of noise, at 32 and 64 px, with and
without augmentation; medians of 5 rounds, taken in turn.
"""

import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from smartgrowth.data import build, pipeline, store
from smartgrowth.data.augment import policy
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Source
from smartgrowth.stages import Stage

IMAGES, CLASSES, BATCH, STEPS, ROUNDS = 20_000, 100, 128, 400, 5


def make_examples():
    generator = np.random.default_rng(0)
    for index in range(IMAGES):
        split = VALIDATION if index % 100 == 0 else TRAIN
        image = generator.integers(0, 256, (64, 64, 3), np.uint8)
        yield Example(str(index), split, index // 7 % CLASSES, image)


def measure(data: store.Data, size: int, preset: str) -> float:
    """Images/s over `STEPS` batches."""
    images = np.arange(len(data.train.labels))
    stage = Stage(
        0,
        steps=STEPS,
        batch_size=BATCH,
        image_size=size,
        num_classes=CLASSES,
        num_images=len(images),
    )
    batches = pipeline.make_batches(
        data,
        stage,
        images,
        np.arange(CLASSES),
        seed=0,
        augmentation=policy.Augmentation(policy.PRESETS[preset]),
    )
    began = time.perf_counter()
    for _ in batches(0, STEPS):
        pass
    return STEPS * BATCH / (time.perf_counter() - began)


def main() -> None:
    source = Source(
        "noise",
        "noise",
        tuple(str(label) for label in range(CLASSES)),
        64,
        make_examples,
    )
    with tempfile.TemporaryDirectory() as cache:
        directory = build.ensure_store(
            "noise", lambda: source, (32, 64), pathlib.Path(cache)
        )
        data = store.open_data(directory)
        cases = [(size, name) for size in (32, 64) for name in policy.PRESETS]
        speeds = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case in cases:
                speeds[case].append(measure(data, *case))
        print(f"{os.cpu_count()} cores")
        for (size, name), rounds in speeds.items():
            print(
                f"{size} px, augmentation {name:6} "
                f"{statistics.median(rounds):10,.0f} images/s "
                f"({min(rounds):,.0f} to {max(rounds):,.0f})"
            )


if __name__ == "__main__":
    main()
