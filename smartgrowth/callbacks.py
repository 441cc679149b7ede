"""What happens around a batch: the cyclic rate, checkpoints, progress.

None of them evaluates: an evaluation inside a batch callback would reset the
metrics of the training that it interrupts.
"""

import importlib.util
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Sequence

import keras
import numpy as np

from smartgrowth import UserError, run_directory
from smartgrowth.plan import Plan, Stage


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
        directory / run_directory.TENSORBOARD, write_graph=False
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
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.restore()

    def on_train_batch_end(self, batch, logs=None):
        step = self.first_step + batch + 1
        if step == self.last_step:
            float(logs["loss"])  # waits for an accelerator to be done
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


class StopSignals:
    """While entered, the first SIGINT or SIGTERM sets an event, and the run can
    save before it stops; a second SIGINT stops it at once.
    """

    def __init__(self):
        self.event = threading.Event()
        self.previous = {}

    def __enter__(self) -> threading.Event:
        # Only the main thread may; elsewhere (a notebook's) nothing changes.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self.event

    def __exit__(self, *error) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _handle(self, number, frame) -> None:
        if self.event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.event.set()


class ProgressLine:
    """A line for a person: stage, step, speed, loss, rate, time left."""

    def __init__(self, plan: Plan, stream=None):
        self.plan, self.stream = plan, stream or sys.stdout
        self.rewrites = self.stream.isatty()
        self.every = 0.5 if self.rewrites else 10.0
        self.shown = time.monotonic()
        self.mark = None  # the step and time from which speed is taken
        self.began = 0  # the step at which the segment did

    def start(self, step: int) -> None:
        """A segment begins: batches that are compiled first, one a size, count
        for no speed.
        """
        self.mark, self.began = None, step

    def show(self, stage: Stage, step: int, loss, rate: float) -> None:
        """Prints a line if one is due; raises `UserError` on a loss of NaN."""
        now = time.monotonic()
        if self.mark is None or step <= self.began + len(stage.sizes):
            self.mark = (step, now)
        if now - self.shown < self.every or step == self.mark[0]:
            return
        self.shown = now
        loss = check_finite(float(loss), step)
        first, began = self.mark
        seconds = (now - began) / (step - first)
        price = self.plan.gflops_of(stage) / stage.steps
        left = (self.plan.gflops() - self.plan.gflops(step)) / price * seconds
        self.say(
            f"stage {stage.index + 1}/{len(self.plan.stages)} "
            f"{stage.image_size} px  step {step}/{self.plan.steps}  "
            f"{stage.batch_size / seconds:,.0f} images/s  loss {loss:.3f}  "
            f"rate {rate:.2g}  left: stage "
            f"{clock(seconds * (stage.last_step - step))}, run {clock(left)}",
            end="",
        )

    def say_row(self, stage: Stage, row: dict) -> None:
        """Prints an evaluation."""
        at_size = ""
        if row["val_accuracy_at_size"] != row["val_accuracy"]:
            at_size = (
                f" ({row['val_accuracy_at_size']:.1%} at {stage.image_size} px)"
            )
        self.say(
            f"stage {stage.index + 1}/{len(self.plan.stages)} "
            f"{stage.image_size} px  step {row['step']}/{self.plan.steps}  "
            f"loss {row['train_loss']:.3f}  validation: loss "
            f"{row['val_loss']:.3f}, accuracy {row['val_accuracy']:.1%}"
            f"{at_size}  {clock(row['train_seconds'])} trained"
        )

    def say(self, text: str, end: str = "\n") -> None:
        """A line; on a terminal, one with end="" is written over."""
        if self.rewrites:
            self.stream.write(f"\r\033[K{text}{end}")
        else:
            self.stream.write(f"{text}\n")
        self.stream.flush()


def check_finite(loss: float, step: int) -> float:
    """The loss, or a `UserError` if it is not a number any more."""
    if not np.isfinite(loss):
        raise UserError(
            f"the training loss is {loss} at step {step}: learning diverged; "
            "use a lower --lr, and --restart"
        )
    return loss


def clock(seconds: float) -> str:
    """As m:ss, or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"
