"""Writes the results of a run: its model, predictions and final figures."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from smartgrowth import __version__
from smartgrowth.data.store import Data
from smartgrowth.evaluation import hard_examples
from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.experiment import Experiment
from smartgrowth.metrics.scores import score, softmax
from smartgrowth.models.network import Network
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs.manifest import hash_file, write_manifest
from smartgrowth.runtime import devices
from smartgrowth.runtime.atomic import atomic_path

# Of the training's cost, what judging all training images may cost; few are
# judged anyway.
JUDGING_SHARE, FEW_IMAGES = 0.02, 1000


def write_results(
    directory: pathlib.Path,
    evaluator: Evaluator,
    experiment: Experiment,
    row: dict,
    mirrored: bool,
    facts: dict,
    check_owner: Callable[[], None] = lambda: None,
) -> None:
    """Writes the model, predictions, hard lists, audit.json, metrics.json.

    metrics.json comes last: a run that has it is finished.

    Args:
      directory: of the run.
      evaluator: of the trained model.
      experiment: what was trained.
      row: the last row of the log.
      mirrored: whether mirror images keep their class and may vote.
      facts: further entries of metrics.json.
      check_owner: called before each group of files; raises if another
        process writes here now.

    Raises:
      OSError: a file cannot be written.
    """
    data, size = experiment.data, experiment.config.final_size
    labels = data.validation.labels
    plain = evaluator.probabilities
    if plain is None:  # this process has not trained
        plain = softmax(evaluator.logits(data.validation, size))
    validated = ("val_accuracy", "val_top5", "val_loss", *files.RAW_COLUMNS)
    figures = {name: row[name] for name in validated if name in row}
    if mirrored:
        other = evaluator.logits(data.validation, size, flip=True)
        both = (plain + softmax(other)) / 2
        figures["tta_accuracy"] = score(both, labels).accuracy
    chosen = judged_images(experiment)
    judged = data.train.subset(chosen)
    clean = softmax(evaluator.logits(judged, size))
    part = np.isin(chosen, clean_part(data))
    scores = score(clean[part], judged.labels[part])
    figures["clean_train_accuracy"] = scores.accuracy
    figures["clean_train_loss"] = scores.loss
    for split, probabilities in ((judged, clean), (data.validation, plain)):
        check_owner()
        hard_examples.write_hardest(
            directory, data, split, probabilities, size, evaluator.class_maps
        )
    findings = experiment.audit(evaluator.model)
    check_owner()
    write_predictions(directory, data, plain)
    files.write_json(
        directory / files.AUDIT,
        {"findings": [dataclasses.asdict(each) for each in findings]},
    )
    check_owner()
    network, step = experiment.network, row["step"]
    write_model(directory, evaluator.model, network, step)
    check_owner()
    files.write_json(
        directory / files.METRICS,
        figures
        | {
            "image_size": size,
            "native_size": data.native_size,
            "parameters": evaluator.model.count_params(),
            "images_seen": row["images_seen"],
            "gflops": row["gflops"],
            "epochs": experiment.epochs,
            **facts,
            "versions": {"smartgrowth": __version__} | devices.versions(),
        },
    )


def judged_images(experiment: Experiment) -> np.ndarray:
    """Returns the training images to judge without augmentation, ascending.

    All, if that costs little beside the training; else those of `clean_part`.
    """
    count = len(experiment.data.train.labels)
    size = experiment.config.final_size
    gflops = count * experiment.network.flops_per_image(size) / 1e9
    affordable = gflops <= JUDGING_SHARE * experiment.plan.gflops()
    if affordable or count <= FEW_IMAGES:
        return np.arange(count)
    return clean_part(experiment.data)


def clean_part(data: Data) -> np.ndarray:
    """Returns training images to evaluate without augmentation.

    Their accuracy minus validation accuracy is the gap. There are as many as
    validation images, or all; the same ones in every run.
    """
    count = len(data.train.labels)
    chosen = np.random.default_rng(0).permutation(count)
    return np.sort(chosen[: len(data.validation.labels)])


def write_predictions(
    directory: pathlib.Path, data: Data, probabilities: np.ndarray
) -> None:
    """Writes classes.txt and predictions.npz of a run directory.

    Args:
      directory: of the run.
      data: has the class names and the labels.
      probabilities: (images, classes), of the validation images, in their
        order.
    """
    files.write_classes(directory, data.class_names)
    files.write_npz(
        directory / files.PREDICTIONS,
        labels=data.validation.labels,
        probabilities=probabilities.astype(np.float32),
        ids=np.array(data.validation.ids),
    )


def write_model(
    directory: pathlib.Path, model: keras.Model, network: Network, step: int
) -> None:
    """Writes final.keras: stock layers in float32, which any Keras 3 opens.

    Or the user's own layers, if the network is theirs. And its manifest, with
    its hash and the step at which it was written.
    """
    stock = network.plain_copy(model)
    arrays = checkpoint.collect({"model": model.variables})
    checkpoint.restore({"model": stock.variables}, arrays)
    path = directory / files.MODEL
    with atomic_path(path) as partial:
        stock.save(partial)
    write_manifest(
        directory / files.MODEL_MANIFEST,
        {
            "archive": path.name,
            "sha256": hash_file(path),
            "best": True,
            "facts": {"step": step},
        },
    )
