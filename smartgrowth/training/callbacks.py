"""What happens around a batch: the cyclic rate, checkpoints, progress.

None of them evaluates: an evaluation inside a batch callback would reset the
metrics of the training that it interrupts.
"""

import importlib.util
import pathlib
import threading
import time
from collections.abc import Callable

import keras

from smartgrowth import UserError
from smartgrowth.optim.rates import RateTables
from smartgrowth.runs import files
from smartgrowth.runtime.keras_internals import unscaled_optimizer


class CyclicLearningRate(keras.callbacks.Callback):
    """Installs a run's rates and momenta in the optimizer and logs them.

    The compiled step looks them up by itself; nothing else assigns a rate.
    """

    def __init__(self, tables: RateTables):
        super().__init__()
        self.tables = tables

    def set_model(self, model):
        super().set_model(model)
        unscaled_optimizer(model).install_tables(self.tables)

    def at(self, step: int) -> dict[str, float]:
        """Returns rate and momentum with which batch `step` is learned."""
        return self.tables.at(step)


class StepCallback(keras.callbacks.Callback):
    """Counts the run's steps through one segment, and acts on them.

    A segment is what is trained between two evaluations: one `fit`.

    Args:
      first_step, last_step: of the segment.
      restore_metrics: called once the metrics are reset, to put back the sums
        of a segment that was cut off.
      show: called with the step and the mean loss so far.
      save_due: says whether to save now.
      save: called with the step and the seconds so far.
      stop: set when the run is to stop: raises KeyboardInterrupt once saved.

    Attributes:
      seconds: spent on training so far, without checkpoints.
      first_batch_seconds: until the first batch was learned.
    """

    def __init__(
        self,
        *,
        first_step: int,
        last_step: int,
        restore_metrics: Callable[[], None],
        show: Callable,
        save_due: Callable[[], bool],
        save: Callable[[int, float], None],
        stop: threading.Event,
    ):
        super().__init__()
        self.first_step, self.last_step = first_step, last_step
        self.restore_metrics, self.show = restore_metrics, show
        self.save_due, self.save, self.stop = save_due, save, stop
        self.began = time.monotonic()
        self.saving_seconds = 0.0
        self.first_batch_seconds = None
        self.previous_loss = None
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.restore_metrics()

    def on_train_batch_end(self, batch, logs=None):
        # Of several steps at once it is the last one's number, or would be if
        # the segment had as many left.
        step = min(self.first_step + batch + 1, self.last_step)
        # Reading a loss waits for an accelerator: for all that it has to do
        # first and last, else for all but the latest, so that it never idles.
        first = self.previous_loss is None
        wait = first or step == self.last_step
        float(logs["loss"] if wait else self.previous_loss)
        self.previous_loss = logs["loss"]
        now = time.monotonic()
        self.seconds = now - self.began - self.saving_seconds
        if first:
            self.first_batch_seconds = self.seconds
        if step == self.last_step:
            return  # the evaluation that follows says more, and saves
        self.show(step, logs["loss"])
        if self.stop.is_set() or self.save_due():
            self.save(step, self.seconds)
            self.saving_seconds += time.monotonic() - now
        if self.stop.is_set():
            raise KeyboardInterrupt


def make_tensorboard(directory: pathlib.Path) -> keras.callbacks.TensorBoard:
    """Returns Keras' own callback, for a run directory.

    A row of the log is the end of an epoch to it: its x axis, called epoch, is
    the run's step.

    Raises:
      UserError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard: the package tensorboard is not installed; "
            "pip install tensorboard"
        )
    return keras.callbacks.TensorBoard(
        directory / files.TENSORBOARD, write_graph=False
    )
