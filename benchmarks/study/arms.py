"""What a dataset and an arm of the study are, and what all arms share.

The arms themselves are in growth_arms.py and network_arms.py, each fixed before
its first run; protocol.py says how they are compared.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images that are trained on.

    Attributes:
      flags: which they are, and how they are augmented.
      classes: active in the three stages of an arm that grows them.
      samples: per class in the four stages of an arm that grows them.
    """

    name: str
    flags: tuple[str, ...]
    classes: str = ""
    samples: tuple[str, ...] = ("1", "10", "100", "all")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
      flags: its flagfile's lines. {classes} and {samples} are those of the
        dataset, {backward} the samples from all to the fewest, {last_three}
        the samples without the fewest; {steps} are the lengths of its stages,
        {rate} is the large learning rate, {decided} the run whose boundaries
        it repeats.
      against: the arm that differs from it in what is asked.
      asks: what the difference between the two tells.
      recipe: the arm whose tuned rate, decay and lengths it has.
      steps: of its stages; scaled to the budget.
      reverses: whether `steps` are scaled by the recipe and then reversed.
      primary: whether it answers a hypothesis, with `PRIMARY_SEEDS`.
      of_baseline: whether it is also tested against the baseline.
      in_seconds: whether it takes the baseline's seconds, not its GFLOPs.
    """

    name: str
    flags: tuple[str, ...]
    against: str
    asks: str
    recipe: str
    steps: tuple[int, ...] = ()
    reverses: bool = False
    primary: bool = False
    of_baseline: bool = False
    in_seconds: bool = False


# Of every arm, unless its own flags say otherwise.
COMMON = (
    "--batch_size=64",
    "--depth=1",
    "--whiten=true",
    "--label_smoothing=0.1",
    "--schedule_clock=cost",
    "--precision=bfloat16",  # or runs of two machines could not be paired
    "--report=false",
)
BASELINE = ("--grow_size=32", "--stage_steps={steps}")
