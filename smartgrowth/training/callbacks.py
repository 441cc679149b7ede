"""What happens around a batch: the cyclic rate, checkpoints, progress.

None of them evaluates: an evaluation inside a batch callback would reset the
metrics of the training that it interrupts.
"""

import importlib.util
import pathlib
import time
from collections.abc import Sequence

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.runs import files


class CyclicLearningRate(keras.callbacks.Callback):
    """Installs rate and momentum tables in the optimizer and logs them.

    rates, momenta: floats of shape (steps,), one value a step of the run. The
    compiled step looks them up by itself; nothing else assigns a rate.
    forgets_at: steps before which the optimizer is made to forget.
    """

    def __init__(
        self,
        rates: np.ndarray,
        momenta: np.ndarray,
        forgets_at: Sequence[int] = (),
    ):
        super().__init__()
        self.rates, self.momenta = rates, momenta
        self.forgets_at = forgets_at

    def set_model(self, model):
        super().set_model(model)
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        optimizer.install_tables(self.rates, self.momenta, self.forgets_at)

    def at(self, step: int) -> dict[str, float]:
        """Rate and momentum with which batch number `step` is learned."""
        return {
            "lr": float(self.rates[step]),
            "momentum": float(self.momenta[step]),
        }


class Callbacks(keras.callbacks.CallbackList):
    """Callbacks of a `fit` that get a batch's metrics as they are.

    Keras' own list makes Python numbers of them: an accelerator would be waited
    for after every batch.
    """

    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


def open_tensorboard(
    directory: pathlib.Path, model: keras.Model
) -> keras.callbacks.TensorBoard:
    """Keras' own callback; a row of the log is the end of an epoch to it.

    directory: of the run. Its x axis, called epoch, is the run's step.

    Raises:
      UserError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard: the package tensorboard is not installed; "
            "pip install tensorboard"
        )
    board = keras.callbacks.TensorBoard(
        directory / files.TENSORBOARD, write_graph=False
    )
    board.set_model(model)
    board.on_train_begin()
    return board


class BatchClock(keras.callbacks.Callback):
    """Counts the run's steps through one segment, and acts on them.

    A segment is what is trained between two evaluations: one `fit`.

    Args:
      first_step, last_step: of the segment.
      began: when it did, of `time.monotonic`.
      restore: called once the metrics are reset, to put back the sums of a
        segment that was cut off.
      show: called with the step and the mean loss so far.
      due: says whether to save now.
      save: called with the step and the seconds so far.
      stop: set when the run is to stop: raises KeyboardInterrupt once saved.
    """

    def __init__(
        self,
        *,
        first_step,
        last_step,
        began,
        restore,
        show,
        due,
        save,
        stop,
    ):
        super().__init__()
        self.stop = stop
        self.first_step, self.last_step = first_step, last_step
        self.restore, self.show, self.due, self.save = restore, show, due, save
        self.began = began
        self.idle = 0.0  # spent on checkpoints, not on training
        self.first_batch = None  # seconds until it was learned
        self.before = None  # the loss at the batch before
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.restore()

    def on_train_batch_end(self, batch, logs=None):
        # Of several steps at once it is the last one's number, or would be if
        # the segment had as many left.
        step = min(self.first_step + batch + 1, self.last_step)
        # What is asked for waits for an accelerator: for all that it has to do
        # first and last, else for all but the latest, so that it never idles.
        over = step == self.last_step or self.before is None
        float(logs["loss"] if over else self.before)
        self.before = logs["loss"]
        now = time.monotonic()
        self.seconds = now - self.began - self.idle
        if self.first_batch is None:
            self.first_batch = self.seconds
        if step == self.last_step:
            return  # the evaluation that follows says more, and saves
        self.show(step, logs["loss"])
        if self.stop.is_set() or self.due():
            self.save(step, self.seconds)
            self.idle += time.monotonic() - now
        if self.stop.is_set():
            raise KeyboardInterrupt
