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
from smartgrowth.flags.model import Model, is_users
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
# With another mode they would be forgotten, and a training begun.
MODE_OF_FLAG = {"measure": "plan", "format": "export", "quantize": "export"}


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
        _check_growth(self)
        _check_start(self)
        if not _given_lengths(self):
            object.__setattr__(self, "stage_steps", DEFAULT_STEPS)
        if self.decides_growth:
            object.__setattr__(self, "schedule_clock", "cost")

    @property
    def finds_rate(self) -> bool:
        """Whether `lr` is no number, but a way to find one."""
        return isinstance(self.lr, str)

    @property
    def decides_growth(self) -> bool:
        """Whether the stages' ends are decided while training."""
        return self.grow_when == "auto"

    def size_seen(self, size: int) -> int:
        """Returns the side of the images that stages of a size are shown.

        From which smaller ones are cut, where they are not resized.
        """
        return self.final_size if self.grow_by == "crop" else size

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

    def with_steps(self, steps: int, **changes) -> "Config":
        """Returns the same stages, each of so many steps.

        changes: of other flags.
        """
        return dataclasses.replace(
            self,
            stage_steps=(steps,) * self.num_stages,
            stage_epochs=(),
            stage_shares=(),
            grow_schedule=None,
            grow_when="plan",
            budget_gflops=None,
            **changes,
        )

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
    for field in dataclasses.fields(config):
        name = field.name
        mode = MODE_OF_FLAG.get(name, config.mode)
        if mode != config.mode and getattr(config, name) != field.default:
            raise UserError(
                f"--{name} with --mode={config.mode}: it belongs to "
                f"--mode={mode}"
            )
    if config.quantize and "tflite" not in config.format:
        raise UserError(
            f"--quantize with --format={flag_text(config.format)}: it belongs "
            "to --format=tflite"
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
    given = _given_lengths(config)
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(f'--{name}' for name in given)} both say how long "
            "stages are; give one and set the other to nothing "
            f"(--{given[0]}=)"
        )
    lengths = _stage_lengths(config)
    if len(set(lengths.values())) > 1:
        named = ", ".join(f"--{k} has {n}" for k, n in lengths.items())
        raise UserError(
            f"stage lists of different lengths: {named}; give each one value "
            "per stage, or a single value for all stages"
        )


def _check_growth(config: Config) -> None:
    if not config.decides_growth:
        return
    if config.grow_schedule:
        raise UserError(
            "--grow_when=auto decides where stages end, --grow_schedule="
            f"{config.grow_schedule} repeats what was decided; give one"
        )
    if config.schedule_scope == "stage":
        raise UserError(
            "--grow_when=auto with --schedule_scope=stage: how long a stage "
            "lasts is not known when its schedule begins; give "
            "--schedule_scope=run"
        )
    growing = config.num_stages - 1
    least = growing * config.grow_least + config.grow_last
    if growing and (least > 1 or not 0 < config.grow_least <= config.grow_most):
        raise UserError(
            f"--grow_least={config.grow_least:g}, --grow_most="
            f"{config.grow_most:g}, --grow_last={config.grow_last:g}: of "
            f"{config.num_stages} stages, all but the last get from least to "
            "most; least must be above 0 and not above most, and with what is "
            "kept for the last at most 1 in all"
        )


def _check_start(config: Config) -> None:
    if config.whiten and is_users(config.model):
        raise UserError(
            f"--whiten with --model={config.model}: it fixes a convolution of "
            "this program's own networks; leave it out"
        )
    if config.init_from and config.whiten:
        raise UserError(
            "--whiten with --init_from: the first convolution is that of the "
            "run it starts from; leave --whiten out"
        )


def _given_lengths(config: Config) -> list[str]:
    """Names of the flags that say how long stages are, of those given."""
    names = ("stage_steps", "stage_epochs", "stage_shares", "grow_schedule")
    return [name for name in names if getattr(config, name)]


def _stage_lengths(config: Config) -> dict[str, int]:
    """Lengths of the lists over the stages that are longer than one."""
    return {
        field.name: len(getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.metadata["per_stage"] and len(getattr(config, field.name)) > 1
    }
