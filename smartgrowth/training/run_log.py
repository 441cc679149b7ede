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

# Methods of Keras' callbacks that are called around every batch.
BATCH_METHODS = (
    *("on_batch_begin", "on_batch_end"),
    *("on_train_batch_begin", "on_train_batch_end"),
)


class RunLog:
    """Keras callbacks that get every row as the end of an epoch.

    Its number, which TensorBoard calls epoch, is the run's step. To them a run,
    or what is left of it, is one training.

    Args:
      directory: of the run.
      tensorboard: write for TensorBoard too.
      steps: of the whole run.
      own: callbacks of the caller's.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        tensorboard: bool,
        steps: int,
        own: Sequence[keras.callbacks.Callback] = (),
    ):
        self.csv, self.steps = RunCSVLogger(directory), steps
        self.own = list(own)
        self.callbacks: list[keras.callbacks.Callback] = [self.csv]
        if tensorboard:
            self.callbacks.append(make_tensorboard(directory))
        self.callbacks += self.own

    def begin(self, model: keras.Model, rows: Sequence[Mapping]) -> None:
        """Opens the log of a run that has these rows already."""
        model.stop_training = False
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(
                {"epochs": self.steps, "steps": self.steps, "verbose": 0}
            )
            callback.on_train_begin()
        self.csv.restore(rows)  # last: a disk may refuse it

    def begin_segment(self, step: int) -> list[keras.callbacks.Callback]:
        """Says from which step on training goes on; returns what sees batches.

        Nothing if none of the caller's callbacks does: it would have to wait
        for the device.
        """
        for callback in self.own:
            callback.on_epoch_begin(step)
        looking = [
            callback
            for callback in self.own
            if any(
                getattr(type(callback), name)
                is not getattr(keras.callbacks.Callback, name)
                for name in BATCH_METHODS
            )
        ]
        return [BatchCallback(looking, step)] if looking else []

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


class BatchCallback(keras.callbacks.Callback):
    """Tells callbacks of every batch, numbered through the whole run.

    callbacks: that are told. first_step: number of the first batch.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], first_step: int
    ):
        super().__init__()
        self.callbacks, self.first_step = callbacks, first_step

    def on_train_batch_begin(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_begin(self.first_step + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        figures = {name: float(value) for name, value in logs.items()}
        for callback in self.callbacks:
            callback.on_train_batch_end(self.first_step + batch, figures)


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
