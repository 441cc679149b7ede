"""The line that says how a training is going."""

import time

import numpy as np

from smartgrowth import UserError
from smartgrowth.experiment import Experiment
from smartgrowth.runtime.reporter import REPORTER, Reporter
from smartgrowth.stages import Plan, Stage
from smartgrowth.training.forecast import Forecast

SECONDS, STEPS = 1.0, 5  # of training, after which all of it is foretold


class ProgressLine:
    """Shows stage, step, speed, loss, rate and the time left of a run.

    And once, from the first steps that it sees, how long all will take.

    Args:
      experiment: what is trained.
      mirrored: whether the results include a pass over mirror images.
      reporter: what shows it.
    """

    def __init__(
        self,
        experiment: Experiment,
        mirrored: bool,
        reporter: Reporter = REPORTER,
    ):
        self.plan, self.reporter = experiment.plan, reporter
        self.forecast = Forecast(experiment, mirrored)
        self.mark = None  # the step and time from which speed is taken
        self.began = 0, 0.0  # the step and time at which the segment did
        self.pace = None  # seconds of a step of the segment, once known
        self.told = False
        self.begun = None  # index of the last stage whose first batch was seen
        self.apart = None  # seconds without training at the last evaluation

    def follow(self, plan: Plan) -> None:
        """Takes up a plan in which more is decided."""
        self.plan = self.forecast.plan = plan

    def start(self, step: int) -> None:
        """Begins a segment.

        Its first batches, one for each size, are compiled and count for no
        speed.
        """
        self.mark, self.began = None, (step, time.monotonic())
        self.pace = None

    def show(self, stage: Stage, step: int, loss, rate: float) -> None:
        """Shows a line if one is due.

        Args:
          step: batches learned. loss: the mean so far, a number or a tensor.
          rate: the present learning rate.

        Raises:
          UserError: the loss is not finite.
        """
        now = time.monotonic()
        if self.mark is None and self.begun != stage.index:
            self.begun = stage.index
            self.forecast.beginning = now - self.began[1]
        if self.mark is None or step <= self.began[0] + len(stage.sizes):
            self.mark = (step, now)
        first, began = self.mark
        if step == first:
            return
        seconds = (now - began) / (step - first)
        self.pace = seconds
        if step - first >= STEPS and now - began >= SECONDS:
            self._tell(stage, step, seconds)

        def text() -> str:
            mean = check_finite(float(loss), step)
            left = self.forecast.left(stage, step, seconds).seconds
            return (
                f"{self._position(stage, step)}  "
                f"{stage.batch_size / seconds:,.0f} images/s  "
                f"loss {mean:.3f}  rate {rate:.2g}  left: stage "
                f"{clock(seconds * (stage.last_step - step))}, run "
                f"{clock(left)}"
            )

        self.reporter.progress(text)

    def say_row(self, stage: Stage, row: dict) -> None:
        """Says what an evaluation gave; row: of log.csv."""
        apart = row["wall_seconds"] - row["train_seconds"]
        if self.apart is not None:  # else it includes the start
            self.forecast.evaluated(stage, apart - self.apart)
        self.apart = apart
        at_size = ""
        if row["val_accuracy_at_size"] != row["val_accuracy"]:
            at_size = (
                f" ({row['val_accuracy_at_size']:.1%} at {stage.image_size} px)"
            )
        self.reporter.say(
            f"{self._position(stage, row['step'])}  "
            f"loss {row['train_loss']:.3f}  validation: loss "
            f"{row['val_loss']:.3f}, accuracy {row['val_accuracy']:.1%}"
            f"{at_size}  {clock(row['train_seconds'])} trained"
        )
        if self.pace and row["step"] < self.plan.steps:
            self._tell(stage, row["step"], self.pace)

    def _tell(self, stage: Stage, step: int, seconds: float) -> None:
        if not self.told:
            self.reporter.say(self.forecast.tell(stage, step, seconds))
            self.told = True

    def _position(self, stage: Stage, step: int) -> str:
        return (
            f"stage {stage.index + 1}/{len(self.plan.stages)} "
            f"{stage.image_size} px  step {step}/{self.plan.steps}"
        )


def check_finite(loss: float, step: int) -> float:
    """Returns the loss; raises `UserError` if it is not finite."""
    if not np.isfinite(loss):
        raise UserError(
            f"the training loss is {loss} at step {step}: learning diverged; "
            "use a lower --lr, or --precision=float32 if that does not help, "
            "and --restart"
        )
    return loss


def clock(seconds: float) -> str:
    """Returns a duration as m:ss, or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"
