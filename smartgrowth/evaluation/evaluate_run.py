"""--mode=evaluate: all figures of a finished run's network."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data.augment import policy
from smartgrowth.data.load import open_images
from smartgrowth.data.source import VALIDATION
from smartgrowth.data.store import Data
from smartgrowth.evaluation import hard_examples, results, saved_model, tta
from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.metrics import calibration, confusion
from smartgrowth.metrics.scores import TOP, score, softmax
from smartgrowth.models.network import Network
from smartgrowth.report.write import write_report
from smartgrowth.runs import files
from smartgrowth.runs.finished import load_config
from smartgrowth.runs.identity import name_flags
from smartgrowth.runs.owner import check_untaken, read_owner
from smartgrowth.runs.parse import read_arrays
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runtime.reporter import say

LISTED = 5  # classes and confusions that are printed


def evaluate_run(config: Config, dataset: str | None = None) -> dict:
    """Validates the `final.keras` of `--workdir`; prints and writes figures.

    Writes evaluation.json, and rewrites predictions.npz, classes.txt, the list
    of hard validation images and the report; and that of hard training images,
    if the run has judged a part of them. It uses the run's data, found on
    this machine by `--cache_dir`, `--data_dir` and `--dataset`.

    Args:
      config: the flags of the command.
      dataset: its `--dataset`; None if it gives none.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: there is no finished run, a file of it is malformed, or the
        data is not what it was trained on.
    """
    directory, trained = load_config(config.workdir)
    before, names = read_owner(directory), read_classes(directory)
    model = saved_model.load_model(directory, len(names))
    network = saved_model.network_of(trained, model)
    variants = tta.make_variants(
        trained.final_size,
        network.stride,
        mirrored=policy.choose(trained).mirrors,
    )
    data = open_run_data(config, dataset, trained, tta.sizes_of(variants))
    saved_model.check_data(directory, data)
    evaluator = Evaluator(model, data)
    views = {view for views in variants.values() for view in views}
    passes = tta.run(evaluator, VALIDATION, views)
    summary = summarize(data, network, variants, passes)
    plain = tta.vote(passes, variants["plain"])
    check_untaken(directory, before)
    hard_examples.write_hardest(
        directory,
        data,
        data.validation,
        plain,
        trained.final_size,
        evaluator.class_maps,
    )
    results.write_predictions(directory, data, plain)
    judge_training(directory, evaluator, trained.final_size)
    files.write_json(directory / files.EVALUATION, summary)
    say(table(summary))
    say(f"all figures: {directory / files.EVALUATION}")
    say(f"report: {write_report(directory)}")
    return summary


def judge_training(
    directory: pathlib.Path, evaluator: Evaluator, size: int
) -> None:
    """Judges all training images if the run has judged a part of them.

    Args:
      directory: of the run; its list of hard training images is replaced.
      evaluator: of its model and data.
      size: of the images, in pixels.
    """
    path, data = directory / files.TRAIN_PREDICTIONS, evaluator.data
    count = len(data.train.labels)
    if path.is_file() and len(read_arrays(path, {"ids": 1})["ids"]) == count:
        return
    say(f"judges all {count:,} training images")
    probabilities = softmax(evaluator.logits(data.train, size))
    hard_examples.write_hardest(
        directory, data, data.train, probabilities, size, evaluator.class_maps
    )


def open_run_data(
    config: Config, dataset: str | None, trained: Config, sizes
) -> Data:
    """Opens the data of a run, at these sizes.

    Args:
      config: has the folders on this machine.
      dataset: where a folder of images is now; None if it was not moved.
      trained: the run's config.
      sizes: of the images, in pixels.

    Raises:
      UserError: `dataset` is of another kind, or there is no such data.
    """
    # No group of classes is needed, and so no file that has them; `check_data`
    # is stricter than --max_bad_fraction.
    here = {
        "cache_dir": config.cache_dir,
        "taxonomy": None,
        "max_bad_fraction": 1.0,
    }
    if dataset:
        here |= {"dataset": dataset, "data_dir": config.data_dir}
    elif config.data_dir:
        here["data_dir"] = config.data_dir
    moved = dataclasses.replace(trained, **here)
    if name_flags(moved)["dataset"] != name_flags(trained)["dataset"]:
        raise UserError(
            f"--dataset={dataset}: the run was trained on {trained.dataset}; "
            "give the place where that is now, or leave --dataset out"
        )
    return open_images(moved, sizes)


def summarize(
    data: Data, network: Network, variants: dict, passes: tta.Passes
) -> dict:
    """Returns what evaluation.json holds: plain figures, then each variant.

    The rows of the confusion matrix (true classes) and its columns (predicted
    ones) are in the order of `classes`; `clustered_order` puts confused classes
    side by side.
    """
    labels, names = data.validation.labels, data.class_names
    [view] = variants["plain"]
    plain = passes.probabilities[view]
    matrix = confusion.confusion_matrix(
        labels, plain.argmax(axis=1), len(names)
    )
    bins = calibration.reliability(plain, labels)
    return {
        "images": len(labels),
        "image_size": view.size,
        **figures(plain, labels),
        "variants": {
            name: figures(tta.vote(passes, views), labels)
            | gain(tta.vote(passes, views), plain, labels)
            | cost(views, view, network, passes, len(labels))
            for name, views in variants.items()
        },
        "calibration": {
            "edges": _numbers(bins.edges),
            "images": bins.counts.tolist(),
            "confidence": _numbers(bins.confidence),
            "accuracy": _numbers(bins.accuracy),
        },
        "classes": list(names),
        "by_class": [
            {
                "class": names[row.label],
                "images": row.images,
                "accuracy": row.accuracy,
                "precision": _number(row.precision),
                # The wrong class that was predicted most often.
                "predicted": None if row.rival is None else names[row.rival],
                "times": row.mistaken,
            }
            for row in confusion.by_class(matrix)
        ],
        "confusion_matrix": matrix.tolist(),
        "clustered_order": confusion.clustered_order(matrix).tolist(),
    }


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Returns accuracy, top-5 accuracy, loss, expected calibration error."""
    scores = score(probabilities, labels)
    error = calibration.expected_calibration_error(probabilities, labels)
    return {
        "accuracy": scores.accuracy,
        "top5": scores.top5,
        "loss": _number(scores.loss),
        "calibration_error": _number(error),
    }


def gain(voted: np.ndarray, plain: np.ndarray, labels: np.ndarray) -> dict:
    """Returns the accuracy gained by votes, and its 95% interval's half width.

    The gain is the mean over images of the change, -1, 0 or 1 each; the
    interval is the normal one of that mean.
    """
    correct = [each.argmax(axis=1) == labels for each in (voted, plain)]
    changed = correct[0].astype(int) - correct[1]
    return {
        "gain": float(changed.mean()),
        "gain_margin": float(1.96 * changed.std() / math.sqrt(len(changed))),
    }


def cost(
    views: Iterable[tta.View],
    plain: tta.View,
    network: Network,
    passes: tta.Passes,
    images: int,
) -> dict:
    """Returns passes per image, FLOPs against plain, images per second."""
    flops = [network.flops_per_image(view.size) for view in views]
    seconds = sum(passes.seconds[view.size] for view in views)
    return {
        "passes": len(flops),
        "cost": sum(flops) / network.flops_per_image(plain.size),
        "images_per_second": images / seconds,
    }


def table(summary: dict) -> str:
    """Returns the figures of evaluation.json as text for a terminal."""
    top5 = ""
    if len(summary["classes"]) > TOP:
        top5 = f"top-5 {summary['top5']:.2%}, "
    width = max(len("TTA"), *map(len, summary["variants"]))
    lines = [
        f"{summary['images']:,} validation images at "
        f"{summary['image_size']} px: accuracy {summary['accuracy']:.2%}, "
        f"{top5}loss "
        f"{_show(summary['loss'], '.4f')}, calibration error "
        f"{_show(summary['calibration_error'], '.2%')}",
        "",
        f"{'TTA':{width}}  passes   cost  images/s  accuracy  gain in points",
    ]
    for name, row in summary["variants"].items():
        change = (
            f"{100 * row['gain']:+6.2f} ± {100 * row['gain_margin']:.2f}"
            if name != "plain"
            else ""
        )
        lines.append(
            f"{name:{width}}  {row['passes']:6}  {row['cost']:4.1f}x"
            f"  {row['images_per_second']:8,.0f}  {row['accuracy']:8.2%}  "
            f"{change}".rstrip()
        )
    worst = [
        f"{row['class']} {row['accuracy']:.0%}"
        for row in summary["by_class"][:LISTED]
    ]
    names = summary["classes"]
    pairs = confusion.worst_pairs(np.array(summary["confusion_matrix"]), LISTED)
    confused = [f"{names[a]} as {names[b]} ({n})" for a, b, n in pairs]
    return "\n".join(
        [
            *lines,
            "",
            f"least accurate: {', '.join(worst)}",
            f"most often confused: {', '.join(confused) or 'none'}",
        ]
    )


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    """Returns the value; None if it is not finite, which JSON cannot hold."""
    return float(value) if math.isfinite(value) else None


def _show(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)
