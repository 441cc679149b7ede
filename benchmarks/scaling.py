"""What training costs against images, classes, image size and parameters.

python benchmarks/scaling.py [--rounds=5] [--plot=scaling.png]

Under ten minutes on two cores. Four tables and panels:

    images      made-up ones of 16 px: seconds to store them (once), bytes on
                disk, seconds from there to a plan with its orders, and to draw
                a batch
    classes     the default network: seconds of a step, and of scoring what it
                predicts for 10,000 images
    size        the default network: seconds of a step and of a forward pass,
                each per image, and resident memory
    parameters  the default network at 32 px, by --width; as before

Steps are those of the driver, with batches of 64 (AdamW, the precision that
this machine gets). Of each, a figure is the median of the rounds, in turn.
Memory is the most that a process held after three steps, less what it held
before it built the network. The last line is JSON.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from smartgrowth.config import Config
from smartgrowth.curriculum import orders
from smartgrowth.data import build, store
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Source
from smartgrowth.experiment import make_experiment
from smartgrowth.metrics import scores
from smartgrowth.models.network import Network
from smartgrowth.rendering import figure as figures
from smartgrowth.runtime import backend
from smartgrowth.runtime.reporter import Reporter

IMAGES, IMAGE_SIZE, IMAGE_CLASSES = (1000, 10_000, 100_000), 16, 10
CLASSES = (10, 100, 1000)
BATCH, SIZE, SCORED = 64, 32, 10_000
SECONDS = 0.5  # of one timing, about
PROPORTIONAL = 1.5  # times the least seconds per unit; beyond, it is not


def make_examples(count: int):
    """Yields noise: `count` training images, a tenth as many to validate."""
    generator = np.random.default_rng(0)
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    for split, images in (
        (TRAIN, count),
        (VALIDATION, count // 10),
    ):
        for index in range(images):
            yield Example(
                f"{split}/{index}.png",
                split,
                index % IMAGE_CLASSES,
                generator.integers(0, 256, shape, np.uint8),
            )


def time_once(work: Callable) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def time_in_turn(works: Mapping, rounds: int) -> dict:
    """Returns the median seconds of each, by its key."""
    seconds = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            seconds[key].append(work())
    return {key: statistics.median(found) for key, found in seconds.items()}


def measure_images(rounds: int, folder: pathlib.Path) -> list[dict]:
    """Stores of made-up images, from their building to a batch."""
    from smartgrowth.data import pipeline

    rows, starts, draws = [], {}, {}
    names = tuple(f"class_{label}" for label in range(IMAGE_CLASSES))

    def begin(directory):
        data = store.open_data(directory)
        config = Config(grow_size=(IMAGE_SIZE,), stage_steps=(10_000,))
        experiment = make_experiment(config, data)
        experiment.find_orders()
        return experiment

    def draw(batches):
        first = 0

        def seconds_of_a_batch():
            nonlocal first
            steps, first = range(first, first + 200), first + 200
            shown = iter(batches(steps[0], steps[-1] + 1))
            next(shown)  # starts the threads
            return time_once(lambda: list(shown)) / (len(steps) - 1)

        return seconds_of_a_batch

    for count in IMAGES:
        source = Source(
            "made_up",
            f"made up {count}",
            names,
            IMAGE_SIZE,
            functools.partial(make_examples, count),
        )
        muted = Reporter()
        muted.muted = True
        began = time.perf_counter()
        directory = build.ensure_store(
            source.fingerprint,
            lambda source=source: source,
            [IMAGE_SIZE],
            folder,
            muted,
        )
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in directory.iterdir())
        rows.append(
            {
                "images": count,
                "store_seconds": seconds,
                "store_bytes_per_image": size / (count + count // 10),
            }
        )
        experiment = begin(directory)
        stage = experiment.plan.stages[0]
        batches = pipeline.make_batches(
            experiment.data,
            stage,
            orders.stage_images(
                stage, experiment.class_order, experiment.image_order
            ),
            experiment.active_classes(stage),
            seed=0,
        )
        starts[count] = functools.partial(
            time_once, functools.partial(begin, directory)
        )
        draws[count] = draw(batches)
        draws[count]()
    starts, draws = (time_in_turn(each, rounds) for each in (starts, draws))
    for row in rows:
        row["start_seconds"] = starts[row["images"]]
        row["batch_seconds"] = draws[row["images"]]
    return rows


def prepare_step(network: Network, size: int) -> tuple:
    """Returns what times a training step, compiled; its model and images."""
    import keras
    import tensorflow as tf
    from step_throughput import make_ours

    from smartgrowth.runtime import devices

    class Stamps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.times = []

        def on_train_batch_end(self, batch, logs=None):
            self.times.append(time.perf_counter())

    policy, _ = devices.choose_precision("auto", devices.find_machine())
    model = make_ours(network, policy)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, size, size, 3), np.uint8)
    labels = generator.integers(0, network.num_classes, BATCH)
    targets = np.eye(network.num_classes, dtype=np.float32)[labels]
    batches, stamps = tf.data.Dataset.from_tensors((images, targets)), Stamps()

    def fit(steps: int) -> float:
        model.fit(
            batches.repeat(steps), verbose=0, shuffle=False, callbacks=[stamps]
        )
        # Without the first, before which the pipeline starts.
        return (stamps.times[-1] - stamps.times[0]) / (steps - 1)

    fit(2)
    steps = int(min(max(SECONDS / fit(3), 3), 50))
    return functools.partial(fit, steps), model, images


def prepare_pass(model, images) -> Callable[[], float]:
    """Returns what times a forward pass of a batch, compiled already."""

    def time_passes(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            model.predict_on_batch(images)
        return (time.perf_counter() - began) / count

    time_passes(1)
    count = int(min(max(SECONDS / 2 / time_passes(2), 2), 50))
    return functools.partial(time_passes, count)


def measure_classes(rounds: int) -> list[dict]:
    """Steps of networks with more classes, and their scores."""
    steps, judges = {}, {}
    generator = np.random.default_rng(0)
    for count in CLASSES:
        steps[count], *_ = prepare_step(Network("resnet", count), SIZE)
        logits = generator.normal(size=(SCORED, count)).astype(np.float32)
        labels = generator.integers(0, count, SCORED)

        def judge(logits=logits, labels=labels):
            scores.score(scores.softmax(logits), labels)

        judges[count] = functools.partial(time_once, judge)
    steps, judges = (time_in_turn(each, rounds) for each in (steps, judges))
    return [
        {
            "classes": count,
            "parameters": Network("resnet", count).count_parameters(),
            "step_seconds": steps[count],
            "scoring_seconds": judges[count],
        }
        for count in CLASSES
    ]


def measure_networks(cases: Sequence[tuple[Network, int]], rounds: int):
    """Returns a row for each network and image size."""
    steps, passes = {}, {}
    for number, (network, size) in enumerate(cases):
        steps[number], model, images = prepare_step(network, size)
        passes[number] = prepare_pass(model, images)
    steps, passes = (time_in_turn(each, rounds) for each in (steps, passes))
    rows = []
    for number, (network, size) in enumerate(cases):
        gflops = 3 * network.flops_per_image(size) / 1e9
        seconds = steps[number] / BATCH
        rows.append(
            {
                "size": size,
                "width": network.width,
                "parameters": network.count_parameters(),
                "gflops_per_image": gflops,
                "seconds_per_image": seconds,
                "forward_seconds_per_image": passes[number] / BATCH,
                "seconds_per_gflop": seconds / gflops,
                "peak_bytes": ask_for_peak(network.width, size),
            }
        )
    return rows


def ask_for_peak(width: int, size: int) -> int:
    """Returns the memory of training, of a process of its own."""
    output = subprocess.run(
        [sys.executable, __file__, f"--peak={width},{size}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return int(output.split()[-1])


def print_peak(width: int, size: int) -> None:
    backend.start()
    before = peak_bytes()
    prepare_step(Network("resnet", 10, width), size)
    print(peak_bytes() - before)


def peak_bytes() -> int:
    """Returns the most that the process held; 0 where Linux does not say.

    Not `resource`'s: a new process inherits that of the one that made it.
    """
    with contextlib.suppress(OSError):
        status = pathlib.Path("/proc/self/status").read_text("utf-8")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    return 0


def find_limit(rows: Sequence[dict], name: str, cost: str) -> dict:
    """Returns where cost is proportional to work, and what a step has besides.

    Args:
      rows: with `gflops_per_image`, rising.
      name: of the column that grows.
      cost: of the column in seconds per GFLOP.

    Returns:
      `proportional_from`: the least value from which on a GFLOP takes at most
      `PROPORTIONAL` times what it takes where it takes least.
      `fixed_ms_per_step`, `ms_per_gflop`: of the straight line with the least
      relative errors.
    """
    least = min(row[cost] for row in rows)
    start = None
    for row in reversed(rows):
        if row[cost] > PROPORTIONAL * least:
            break
        start = row[name]
    work = np.array([BATCH * row["gflops_per_image"] for row in rows])
    seconds = np.array([BATCH * row["seconds_per_image"] for row in rows])
    slope, fixed = np.polyfit(work, seconds, 1, w=1 / seconds)
    return {
        "proportional_from": start,
        "fixed_ms_per_step": round(1000 * float(fixed), 2),
        "ms_per_gflop": round(1000 * float(slope), 3),
    }


def draw(tables: Mapping[str, Sequence[dict]], figure) -> str:
    """Draws the four panels: seconds on logarithmic axes."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    # Figures here have no formulas, which powers of ten would be.
    plain = FuncFormatter(
        lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"
    )

    figure.set_size_inches(8.5, 6.2)
    panels = (
        (
            "images",
            "images",
            "training images",
            {
                "store_seconds": "storing them, once",
                "start_seconds": "from the store to a plan",
                "batch_seconds": "drawing a batch of 64",
            },
        ),
        (
            "classes",
            "classes",
            "classes",
            {
                "step_seconds": "a training step of 64 images, 32 px",
                "scoring_seconds": "scoring 10,000 predictions",
            },
        ),
        (
            "sizes",
            "size",
            "image size, px",
            {
                "seconds_per_image": "training, per image",
                "forward_seconds_per_image": "forward, per image",
            },
        ),
        (
            "widths",
            "parameters",
            "parameters, by --width",
            {
                "seconds_per_image": "training, per image",
                "forward_seconds_per_image": "forward, per image",
            },
        ),
    )
    summaries = []
    for axis, (table, x, label, lines) in zip(
        figure.subplots(2, 2).flat, panels, strict=True
    ):
        rows = tables[table]
        values = [row[x] for row in rows]
        for column, name in lines.items():
            axis.plot(values, [row[column] for row in rows], "o-", label=name)
        if "gflops_per_image" in rows[0]:
            least = min(row["seconds_per_gflop"] for row in rows)
            ideal = [least * row["gflops_per_image"] for row in rows]
            name = "training, if all FLOPs were as fast"
            axis.plot(values, ideal, ":", color="gray", label=name)
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
        if x == "size":
            axis.set_xticks(values)
        for each in (axis.xaxis, axis.yaxis):
            each.set_major_formatter(plain)
            each.set_minor_formatter(NullFormatter())
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** 0.35)  # for the legend
        axis.legend(fontsize=7.5, loc="upper left")
        column = next(iter(lines))
        first, last = rows[0][column], rows[-1][column]
        summaries.append(
            f"{lines[column]}: {first:.2g} s at {values[0]:,} and {last:.2g} s "
            f"at {values[-1]:,} {label}"
        )
    return "; ".join(summaries)


# Column -> heading, factor, format.
COLUMNS = {
    "images": ("images", 1, ",.0f"),
    "store_seconds": ("store, s", 1, ".2f"),
    "store_bytes_per_image": ("bytes/image", 1, ".0f"),
    "start_seconds": ("start, s", 1, ".3f"),
    "batch_seconds": ("batch, ms", 1000, ".2f"),
    "classes": ("classes", 1, ",.0f"),
    "size": ("px", 1, ".0f"),
    "width": ("width", 1, ".0f"),
    "parameters": ("parameters", 1, ",.0f"),
    "step_seconds": ("step, ms", 1000, ".1f"),
    "scoring_seconds": ("scoring, ms", 1000, ".1f"),
    "gflops_per_image": ("GFLOPs/image", 1, ".4f"),
    "seconds_per_image": ("training, ms/image", 1000, ".3f"),
    "forward_seconds_per_image": ("forward, ms/image", 1000, ".3f"),
    "seconds_per_gflop": ("ms/GFLOP", 1000, ".2f"),
    "peak_bytes": ("memory, MB", 1e-6, ",.0f"),
}


def show(rows: Sequence[dict]) -> None:
    print("\n" + "  ".join(f"{COLUMNS[name][0]:>11}" for name in rows[0]))
    for row in rows:
        cells = []
        for name, value in row.items():
            heading, factor, form = COLUMNS[name]
            width = max(len(heading), 11)
            cells.append(f"{value * factor:{width}{form}}")
        print("  ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="8,16,24,32,48,64,96")
    parser.add_argument("--widths", default="8,16,32,64,96")
    parser.add_argument("--plot", default="scaling.png")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(*map(int, given.peak.split(",")))
        return
    backend.start()
    import keras

    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        tables["images"] = measure_images(given.rounds, pathlib.Path(folder))
    show(tables["images"])
    tables["classes"] = measure_classes(given.rounds)
    show(tables["classes"])
    networks = {
        "sizes": [
            (Network("resnet", 10), int(size))
            for size in given.sizes.split(",")
        ],
        "widths": [
            (Network("resnet", 10, int(width)), SIZE)
            for width in given.widths.split(",")
        ],
    }
    limits = {}
    for name, cases in networks.items():
        keras.utils.clear_session()
        tables[name] = measure_networks(cases, given.rounds)
        show(tables[name])
        column = "size" if name == "sizes" else "width"
        limits[name] = find_limit(tables[name], column, "seconds_per_gflop")
        print(
            f"  about {limits[name]['fixed_ms_per_step']} ms of a step are "
            "there whatever its size, and "
            f"{limits[name]['ms_per_gflop']} ms per GFLOP; a GFLOP takes at "
            f"most {PROPORTIONAL} x the least from {column} "
            f"{limits[name]['proportional_from']} on",
            flush=True,
        )
    png, alt = figures.render(functools.partial(draw, tables), "light")
    pathlib.Path(given.plot).write_bytes(png)
    print(f"\n{given.plot}: {alt}")
    print(json.dumps({"tables": tables, "limits": limits}))


if __name__ == "__main__":
    main()
