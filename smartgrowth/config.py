"""A run's flags as one value, and what they must be to one another.

Each flag stands at its definition in flags/, in the groups that --help shows;
`command_line` makes absl flags of them.
"""

import dataclasses

from smartgrowth import UserError, growth
from smartgrowth.flags.augmentation import Augmentation
from smartgrowth.flags.curriculum import Curriculum, parse_replay
from smartgrowth.flags.essentials import Essentials
from smartgrowth.flags.evaluation import Evaluation
from smartgrowth.flags.flag import check_values, flag_text
from smartgrowth.flags.growing import Growing
from smartgrowth.flags.machine import Machine
from smartgrowth.flags.model import Model
from smartgrowth.flags.training import Training


@dataclasses.dataclass(frozen=True)
class Growth(Growing, growth.make_flags()):
    """The group Growth: the axes' flags, then those of the stages."""


# Heading in --help -> the flags below it.
GROUPS = {
    "Essentials": Essentials,
    "Growth": Growth,
    "Curriculum": Curriculum,
    "Model": Model,
    "Training": Training,
    "Augmentation": Augmentation,
    "Evaluation and checkpoints": Evaluation,
    "Machine": Machine,
}
# Environment variables that make a process one of several for Keras: the
# address of the first, how many they are, and which of them this is.
PROCESS_VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
DEFAULT_STEPS = (1000,)


@dataclasses.dataclass(frozen=True)
class Config(*reversed(GROUPS.values())):  # a dataclass' last base comes first
    """All flags of a run; lists are tuples, 'all' is None.

    Raises:
      UserError: a value is out of range, two contradict each other, or lists
        over the stages have different lengths.
    """

    def __post_init__(self):
        check_values(self)
        _check_mode(self)
        _check_rates(self)
        _check_shares(self)
        _check_length_of_stages(self)
        _check_start(self)
        if not self.stage_steps and not self.stage_epochs:
            object.__setattr__(self, "stage_steps", DEFAULT_STEPS)

    @property
    def finds_rate(self) -> bool:
        """Whether `lr` is no number, but a way to find one."""
        return isinstance(self.lr, str)

    @property
    def needs_descriptor(self) -> bool:
        """Whether an order asks how alike images are."""
        return self.sample_order in (
            "iconic",
            "medoids",
        ) or self.class_order in ("far_first", "near_first")

    @property
    def augments(self) -> bool:
        """Whether any image is changed at random, but for its size."""
        changes = self.mixup or self.cutmix or set(self.augment) != {"none"}
        return bool(changes and any(self.grow_augment))

    @property
    def replay(self) -> tuple[str, float] | None:
        """The run and the fraction of `--replay_hard`, or None."""
        return (
            None if self.replay_hard is None else parse_replay(self.replay_hard)
        )

    @property
    def num_stages(self) -> int:
        """The common length of the stage lists that are longer than one."""
        return max(_stage_lengths(self).values(), default=1)

    def per_stage(self, name: str) -> tuple:
        """Returns a stage list, a single value repeated for every stage."""
        values = getattr(self, name)
        return values * self.num_stages if len(values) == 1 else values

    @property
    def final_size(self) -> int:
        """The image size that the finished network is for, in pixels."""
        return self.test_size or self.per_stage("grow_size")[-1]

    def flag_lines(self) -> list[str]:
        """Returns `--name=value` of every flag: a flagfile of the run."""
        return [
            f"--{name}={flag_text(value)}"
            for name, value in dataclasses.asdict(self).items()
            if value is not None
        ]


def _check_mode(config: Config) -> None:
    if config.measure and config.mode != "plan":
        raise UserError(
            f"--measure with --mode={config.mode}: it belongs to --mode=plan"
        )


def _check_rates(config: Config) -> None:
    if config.cycle_len and config.cycle_epochs:
        raise UserError(
            f"--cycle_len={config.cycle_len} and --cycle_epochs="
            f"{config.cycle_epochs:g} both say how long a cycle is; give one"
        )
    if config.lr_min >= config.lr_max:
        raise UserError(
            f"--lr_min={config.lr_min:g}: must be below "
            f"--lr_max={config.lr_max:g}"
        )


def _check_shares(config: Config) -> None:
    if config.mixup + config.cutmix > 1:
        raise UserError(
            f"--mixup={config.mixup:g} and --cutmix={config.cutmix:g} are "
            "shares of the same images; together at most 1"
        )


def _check_length_of_stages(config: Config) -> None:
    if config.stage_steps and config.stage_epochs:
        raise UserError(
            "--stage_steps and --stage_epochs both say how long stages are; "
            "give one and set the other to nothing (--stage_steps=)"
        )
    lengths = _stage_lengths(config)
    if len(set(lengths.values())) > 1:
        named = ", ".join(f"--{k} has {n}" for k, n in lengths.items())
        raise UserError(
            f"stage lists of different lengths: {named}; give each one value "
            "per stage, or a single value for all stages"
        )


def _check_start(config: Config) -> None:
    if config.init_from and config.whiten:
        raise UserError(
            "--whiten with --init_from: the first convolution is that of the "
            "run it starts from; leave --whiten out"
        )


def _stage_lengths(config: Config) -> dict[str, int]:
    """Lengths of the lists over the stages that are longer than one."""
    return {
        field.name: len(getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.metadata["per_stage"] and len(getattr(config, field.name)) > 1
    }
