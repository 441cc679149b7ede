"""The flags of evaluations, checkpoints and logs."""

import dataclasses

from smartgrowth.flags.checks import ABOVE_ZERO, AT_LEAST_ONE
from smartgrowth.flags.flag import Identity, flag


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The group Evaluation and checkpoints."""

    evals: int | None = flag(
        None,
        "Evaluations, evenly over the training cost, beside those at the end "
        "of every stage. Unless given: 20, or without --grow_when=auto as "
        "many as cost 5% of the training, if those are fewer.",
        identity=Identity.ALWAYS,
        check=AT_LEAST_ONE,
    )
    checkpoint_minutes: float = flag(
        5.0,
        "Minutes between checkpoints, beside those at the end of every stage.",
        identity=Identity.NEVER,
        check=ABOVE_ZERO,
    )
    report: bool = flag(
        True,
        "End with report.html and its plots; --mode=report makes them at any "
        "time.",
        identity=Identity.NEVER,
    )
    tensorboard: bool = flag(
        False,
        "Write the figures of log.csv for TensorBoard too, in --workdir.",
        identity=Identity.NEVER,
    )
