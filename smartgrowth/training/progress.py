"""How far a run has come: what a checkpoint holds beside the arrays."""

import dataclasses

import numpy as np

from smartgrowth.stages import Plan, Stage

# In the archive, the optimizer's count of steps.
ITERATIONS = "optimizer/0000/iteration"


@dataclasses.dataclass
class Progress:
    """What a checkpoint holds beside the arrays.

    stage_seconds, boundary_seconds: one value a stage. step: batches learned.
    rows: of log.csv. best_accuracy: of the validations so far.
    found_rates: by range tests so far, of the stages from the first one on, or
    one for all. begun: index of the last stage whose boundary is done, -1
    before the first one. decisions: with `--grow_when=auto`, step and rule of
    the stages that have ended, as in `plan.Decision`.
    """

    stage_seconds: list[float]
    boundary_seconds: list[float]
    step: int = 0
    rows: list[dict] = dataclasses.field(default_factory=list)
    wall_seconds: float = 0.0
    best_accuracy: float = -1.0
    found_rates: list[float] = dataclasses.field(default_factory=list)
    begun: int = -1
    decisions: list[dict] = dataclasses.field(default_factory=list)

    @property
    def train_seconds(self) -> float:
        """Seconds without validation and checkpoints, with boundaries."""
        return sum(self.stage_seconds)

    @property
    def is_best(self) -> bool:
        """Whether the last evaluation set the best accuracy."""
        last = self.rows[-1]["val_accuracy"] if self.rows else None
        return last == self.best_accuracy

    def after(self, stage: Stage, step: int, seconds: float) -> "Progress":
        """Returns the progress at `step`, after `seconds` more of training."""
        spent = list(self.stage_seconds)
        spent[stage.index] += seconds
        return dataclasses.replace(self, step=step, stage_seconds=spent)


def start_of(plan: Plan) -> Progress:
    """Returns the progress of a run that has not trained yet."""
    zeros = [0.0] * len(plan.stages)
    return Progress(zeros, list(zeros))


def read_progress(values: dict, plan: Plan) -> Progress:
    """Returns the progress that a checkpoint's manifest holds."""
    values = dict(values)
    # Version 0.1 noted the parts of a boundary instead of the whole.
    restarted = values.pop("restarted", 0)
    if "begun" not in values:
        step, rates = values["step"], values.get("found_rates", [])
        trained = plan.stage_at(step - 1).index if step else -1
        values["begun"] = max(trained, restarted or -1, len(rates) - 1)
    return Progress(**values)


def check_step(arrays: dict[str, np.ndarray], facts: dict, plan: Plan) -> None:
    """Checks that a checkpoint's manifest is of the step of its archive.

    Args:
      arrays: of the archive.
      facts: of the manifest.
      plan: that both are of.

    Raises:
      ValueError: it is of another step, or its facts are not a run's.
    """
    try:
        step, progress = facts["step"], read_progress(facts["progress"], plan)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"its manifest's facts are not a run's ({error!r})"
        ) from error
    if ITERATIONS not in arrays:
        raise ValueError(f"its archive has no array {ITERATIONS}")
    iterations = int(arrays[ITERATIONS])
    if not progress.step == step == iterations:
        raise ValueError(
            f"its manifest is of step {step} and {progress.step}, its "
            f"archive of {iterations}"
        )
