"""The line that says how a training is going."""

import sys
import time

import numpy as np

from smartgrowth import UserError
from smartgrowth.plan import Plan, Stage


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
