"""What --mode=evaluate costs beyond its forward passes, of a finished run.

python benchmarks/evaluation_throughput.py --workdir=RUN [--rounds=3]

In turn: all views by `tta.run`, and the same compiled forward passes alone, on
batches in memory. In seconds of processor time, which other programs
disturb less than wall-clock time.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags

from smartgrowth import command_line
from smartgrowth.config import Config
from smartgrowth.data import pipeline
from smartgrowth.data.augment import policy
from smartgrowth.data.source import VALIDATION
from smartgrowth.evaluation import evaluate_run, saved_model, tta
from smartgrowth.evaluation.evaluator import BATCH, Evaluator
from smartgrowth.planning import make_network
from smartgrowth.runs.directory import load_config

ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds of both, in turn.")
command_line.define_flags(flags.FLAGS, Config)


def main(arguments: list[str]) -> None:
    command_line.check_arguments(arguments)
    config = command_line.from_flags(flags.FLAGS)
    directory, trained = load_config(config.workdir)
    variants = tta.make_variants(
        trained.final_size,
        make_network(trained, 2).stride,
        policy.choose(trained).mirrors,
    )
    sizes = tta.sizes_of(variants)
    data = evaluate_run.open_run_data(config, trained, sizes)
    evaluator = Evaluator(saved_model.load_model(directory), data)
    views = {view for views in variants.values() for view in views}
    batches = {size: make_batches(data, size) for size in sizes}
    tta.run(evaluator, VALIDATION, views)  # compiles
    ratios = []
    for _ in range(ROUNDS.value):
        alone = clock(lambda: forward(evaluator, views, batches))
        whole = clock(lambda: tta.run(evaluator, VALIDATION, views))
        ratios.append(whole / alone)
        print(f"passes alone {alone:.2f} s, evaluation {whole:.2f} s")
    print(
        f"{len(data.validation.labels):,} images, {len(views)} views: "
        f"{statistics.median(ratios):.3f} x, {min(ratios):.3f} to "
        f"{max(ratios):.3f}"
    )


def make_batches(data, size: int) -> list[np.ndarray]:
    """Validation images in full batches, the last filled up."""
    part, batch = data.validation, BATCH
    count = -(-len(part.rows) // batch)
    rows = np.resize(part.rows, count * batch)
    images = part.images(data.stored_size(size))[rows]
    return np.split(np.asarray(pipeline.enlarge(images, size)), count)


def forward(evaluator, views, batches) -> None:
    for view in views:
        for images in batches[view.size]:
            function = evaluator.functions[view.size]
            np.asarray(function([(images,)]))


def clock(work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    app.run(main)
