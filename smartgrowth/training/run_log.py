"""The row that an evaluation adds to log.csv, and everything that takes it."""

import pathlib
from collections.abc import Mapping, Sequence

import keras

from smartgrowth import boundaries
from smartgrowth.experiment import Experiment
from smartgrowth.stages import Stage
from smartgrowth.training.callbacks import make_tensorboard
from smartgrowth.training.csv_logger import RunCSVLogger
from smartgrowth.training.progress import Progress


class RunLog:
    """Keras callbacks that get every row as the end of an epoch.

    Its number, which TensorBoard calls epoch, is the run's step.

    Args:
      directory: of the run.
      tensorboard: write for TensorBoard too.
    """

    def __init__(self, directory: pathlib.Path, tensorboard: bool):
        self.csv = RunCSVLogger(directory)
        self.callbacks: list[keras.callbacks.Callback] = [self.csv]
        if tensorboard:
            self.callbacks.append(make_tensorboard(directory))

    def begin(self, model: keras.Model, rows: Sequence[Mapping]) -> None:
        """Opens the log of a run that has these rows already."""
        for callback in self.callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        self.csv.restore(rows)

    def add(self, rows: Sequence[Mapping]) -> None:
        """Hands the last of a run's rows to all.

        Raises:
          OSError: the disk refuses it; the next one brings it along.
        """
        row = rows[-1]
        self.csv.rows = list(rows[:-1])
        for callback in self.callbacks:
            callback.on_epoch_end(row["step"], row)

    def end(self) -> None:
        """Closes the log."""
        for callback in self.callbacks:
            callback.on_train_end()


def make_row(
    experiment: Experiment,
    stage: Stage,
    progress: Progress,
    rates: Mapping[str, float],
    training: Mapping[str, float],
    validation: Mapping[str, float],
    wall_seconds: float,
) -> dict:
    """Returns a row of log.csv: `files.LOG_COLUMNS`, and those of its flags.

    Args:
      progress: at the evaluation.
      rates: `lr` and `momentum` of the last batch.
      training: `loss` and `accuracy` since the last evaluation.
      validation: `val_*`, `stage_val_*` and what else was validated.
      wall_seconds: of all processes that worked on the run.
    """
    step, plan = progress.step, experiment.plan
    row = {
        "step": step,
        "stage": stage.index,
        "image_size": stage.image_size,
        "num_classes": stage.num_classes,
        "num_images": stage.num_images,
        "batch_size": stage.batch_size,
        **rates,
        "train_loss": training["loss"],
        "train_accuracy": training["accuracy"],
        **validation,
        "images_seen": plan.images_seen(step),
        "gflops": plan.gflops(step),
        "train_seconds": progress.train_seconds,
        "wall_seconds": wall_seconds,
    }
    if plan.rules:
        rows = [each for each in progress.rows if each["stage"] == stage.index]
        row["loss_fall"] = boundaries.loss_fall([*rows, row])
    return row
