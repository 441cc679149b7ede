"""How far a run has come, kept where a killed process cannot take it along."""

import contextlib
import dataclasses
import pathlib
import time

from smartgrowth import UserError
from smartgrowth.plan import Stage
from smartgrowth.runs import checkpoint, files


@dataclasses.dataclass
class Progress:
    """What a checkpoint holds beside the arrays.

    rows: of log.csv. stage_seconds, boundary_seconds: one value a stage.
    found_rates: by range tests so far, of the stages from the first one on, or
    one for all. restarted: index of the last stage before which
    `--stage_restart` was done.
    """

    stage_seconds: list[float]
    boundary_seconds: list[float]
    step: int = 0
    rows: list[dict] = dataclasses.field(default_factory=list)
    wall_seconds: float = 0.0
    best_accuracy: float = -1.0
    found_rates: list[float] = dataclasses.field(default_factory=list)
    restarted: int = 0

    @property
    def train_seconds(self) -> float:
        """Without validation and checkpoints, with boundaries."""
        return sum(self.stage_seconds)

    def after(self, stage: Stage, step: int, seconds: float) -> "Progress":
        """The progress after `seconds` more of training, at `step`."""
        spent = list(self.stage_seconds)
        spent[stage.index] += seconds
        return dataclasses.replace(self, step=step, stage_seconds=spent)


class Keeper:
    """Writes and takes up a run's checkpoints and its log.

    Args:
      directory: of the run.
      plan_hash: of its plan; checkpoints of another are refused.
      model: compiled; accuracy: its metric.
      numerics: what equal bits depend on, for the manifest.
      save_seconds: between checkpoints, if nothing else asks for one.
      say: takes a warning.
    """

    def __init__(
        self,
        directory,
        plan_hash,
        model,
        accuracy,
        numerics,
        save_seconds,
        say,
    ):
        self.directory: pathlib.Path = directory
        self.plan_hash, self.numerics, self.say = plan_hash, numerics, say
        self.model = model
        self.variables = group_variables(model, accuracy)
        self.save_seconds = save_seconds
        self.began = self.saved = time.monotonic()
        self.interrupted = {}  # metric sums of a segment that was cut off

    def load(self, progress: Progress, directory: pathlib.Path) -> Progress:
        """Takes up a run's newest whole checkpoint; `progress` if it has none.

        directory: of the run; another than the one that is written to in a
          process that does not lead.
        """
        found = checkpoint.load(directory / files.CHECKPOINTS)
        if not found:
            return progress
        arrays, facts = found
        if facts["plan"] != self.plan_hash:
            raise UserError(
                f"--workdir={directory} holds checkpoints of another "
                "plan; name another folder, or give --restart"
            )
        checkpoint.restore(self.variables, arrays)
        self.interrupted = arrays
        progress = Progress(**facts["progress"])
        # The log as it was then: later rows will be made again.
        self.write_log(progress)
        return progress

    def due(self) -> bool:
        """Whether the last checkpoint is `save_seconds` old."""
        return time.monotonic() - self.saved >= self.save_seconds

    def save(self, progress: Progress, best=False, within=False) -> None:
        """Writes a checkpoint.

        within: a segment, whose metric sums then belong to it.
        """
        groups = dict(self.variables)
        if not within:
            del groups["metrics"]
        elif hasattr(self.model, "jax_state_sync"):
            # Within a `fit`, JAX has taken the values out of the variables.
            self.model.jax_state_sync()
        kept = dataclasses.replace(
            progress, wall_seconds=self.wall_seconds(progress)
        )
        facts = {
            "step": progress.step,
            "plan": self.plan_hash,
            "progress": dataclasses.asdict(kept),
            "numerics": self.numerics,
        }
        with self.tolerate("checkpoint", progress.step):
            checkpoint.save(
                self.directory / files.CHECKPOINTS,
                checkpoint.collect(groups),
                facts,
                best=best,
            )
        # Also if it failed: not at every batch of a full disk.
        self.saved = time.monotonic()

    def write_log(self, progress: Progress) -> None:
        """Writes log.csv."""
        with self.tolerate("log", progress.step):
            files.write_log(self.directory, progress.rows)

    def restore_metrics(self) -> None:
        """Keras has just reset them; a segment cut off had sums already."""
        if any(name.startswith("metrics/") for name in self.interrupted):
            metrics = {"metrics": self.variables["metrics"]}
            checkpoint.restore(metrics, self.interrupted)
        self.interrupted = {}

    def wall_seconds(self, progress: Progress) -> float:
        """Of all processes that worked on the run, this one included."""
        return progress.wall_seconds + time.monotonic() - self.began

    @contextlib.contextmanager
    def tolerate(self, what: str, step: int):
        """A disk that will not take something now stops no training: the next
        log and the next checkpoint hold it all.
        """
        try:
            yield
        except OSError as error:
            self.say(
                f"warning: no {what} written at step {step} "
                f"({error.strerror or error}); training goes on, make room in "
                f"{self.directory}"
            )


def group_variables(model, accuracy) -> dict[str, list]:
    """All that learning changes, by what it belongs to."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    own = {id(variable) for variable in inner.variables}
    loss = model.metrics[0]  # Keras' own mean of the loss
    return {
        "model": model.variables,
        "optimizer": inner.variables,
        "loss_scale": [v for v in optimizer.variables if id(v) not in own],
        "metrics": [*loss.variables, *accuracy.variables],
    }
