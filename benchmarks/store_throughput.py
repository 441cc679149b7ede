"""Images per second that the store is built with, at three image sizes.

python benchmarks/store_throughput.py [--rounds=5]

From JPEGs of 64 px, as Tiny-ImageNet's, from photos of 500 x 375 px, and the
embedded glyphs: each is stored anew in every round, in turn; a figure is the
median. The files are made before, and are in the system's cache. Processor time
is of all processes, those that are only starting included; it hardly depends on
what else the machine does. The last line is JSON.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
from PIL import Image

from smartgrowth.config import Config
from smartgrowth.data.load import open_data

# Name -> number of JPEGs, width and height.
FOLDERS = {"64 px JPEGs": (6000, 64, 64), "500 px photos": (600, 500, 375)}
CLASSES, SIZES = 10, (16, 24, 32)


def make_folder(root: pathlib.Path, count: int, width: int, height: int):
    """Smooth color with some noise, which compresses as photos do."""
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 256, (6, 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height))
        noise = generator.normal(0, 6, (height, width, 1))
        pixels = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
        split = "val" if index % 10 == 0 else "train"
        folder = root / split / f"class_{index // 10 % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.jpg", quality=90)


def store(dataset: str) -> tuple[float, float]:
    """Returns images per second, and the processor time of one in us."""
    with tempfile.TemporaryDirectory() as cache:
        config = Config(
            dataset=dataset, cache_dir=cache, grow_size=SIZES, stage_steps=(1,)
        )
        began, used = time.perf_counter(), sum(os.times()[:4])
        data = open_data(config)
        seconds = time.perf_counter() - began
        used = sum(os.times()[:4]) - used
    count = len(data.train.labels) + len(data.validation.labels)
    return count / seconds, 1e6 * used / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as made:
        datasets = {"glyphs": "glyphs"}
        for name, (count, width, height) in FOLDERS.items():
            root = pathlib.Path(made, name.replace(" ", "_"))
            make_folder(root, count, width, height)
            datasets[name] = f"folder:{root}"
        speeds = {name: [] for name in datasets}
        for _ in range(rounds):
            for name, dataset in datasets.items():
                speeds[name].append(store(dataset))
    figures = {"cores": os.cpu_count()}
    for name, rounds in speeds.items():
        found, used = zip(*rounds, strict=True)
        figures[name] = {
            "images_per_second": round(statistics.median(found)),
            "spread": [round(min(found)), round(max(found))],
            "processor_us_per_image": round(statistics.median(used)),
            "processor_spread": [round(min(used)), round(max(used))],
        }
        print(f"{name}: {figures[name]}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
