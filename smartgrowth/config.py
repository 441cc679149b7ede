"""Every setting of a run: its default, its meaning, its checks.

`Config` is the single definition; `command_line` makes one absl flag of every
field.
"""

import csv
import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

from smartgrowth import UserError

MODES = (
    "train",
    "plan",
    "explore",
    "lr_find",
    "evaluate",
    "predict",
    "report",
    "audit",
    "compare",
)
CLASS_ORDERS = (
    "random",
    "taxonomy",
    "siblings_first",
    "far_first",
    "near_first",
)
SAMPLE_ORDERS = ("random", "first", "iconic", "medoids")
AUTO_RATES = ("auto", "auto:stage")  # --lr, where it is to be found
RATE = "a number above 0, auto or auto:stage"
# By which Keras is told that a process is one of several: the address of the
# first, how many they are, and which of them this is.
PROCESS_VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
ALL = None  # in --grow_samples and --grow_classes


def _integer(text: str) -> int:
    return int(text)


def integer_or_all(text: str) -> int | None:
    return ALL if text == "all" else int(text)


def _name(text: str) -> str:
    return text


def _setting(default, about, *, each: Callable | None = None, choices=None):
    """A field of `Config`; `each` parses one entry of a comma list."""
    return dataclasses.field(
        default=default,
        metadata={"help": about, "each": each, "choices": choices},
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """The resolved settings of a run; lists are tuples, 'all' is None.

    Raises `UserError` when a value is out of range or lists that name stages
    have different lengths.
    """

    mode: str = _setting("train", "What to do.", choices=MODES)
    workdir: str = _setting(
        "runs/default", "The run directory: everything a run writes."
    )
    restart: bool = _setting(False, "Delete a run in --workdir and begin anew.")
    measure: bool = _setting(
        False,
        "--mode=plan: time a few steps of every stage and say how long the run "
        "will take.",
    )

    dataset: str = _setting(
        "glyphs",
        "glyphs, tiny_imagenet, cifar10, cifar100, imagenette, tfds:NAME or "
        "folder:PATH.",
    )
    data_dir: str | None = _setting(
        None, "Where the dataset already is: a zip or a folder."
    )
    cache_dir: str = _setting(
        "~/.cache/smartgrowth",
        "Where prepared datasets are kept; best on a local disk.",
    )
    classes: tuple[str, ...] = _setting(
        ("all",),
        "all, a number (that many, in the dataset's order), or names.",
        each=_name,
    )

    grow_samples: tuple[int | None, ...] = _setting(
        (ALL,), "Images a class, stage by stage (H1).", each=integer_or_all
    )
    grow_classes: tuple[int | None, ...] = _setting(
        (ALL,), "Number of classes, stage by stage (H2).", each=integer_or_all
    )
    grow_size: tuple[int, ...] = _setting(
        (32,), "Image size in pixels, stage by stage (H3).", each=_integer
    )
    grow_augment: tuple[float, ...] = _setting(
        (1.0,), "Augmentation strength, 0 to 1, stage by stage.", each=float
    )
    sample_order: str = _setting(
        "random",
        "Order in which a class's images enter: random; first, as they are "
        "stored; iconic: the medoid first, then whatever is worst represented; "
        "medoids: the medoid first, then what best represents the rest; "
        "hardest:RUN, by their loss in a finished run; file:PATH, a CSV of "
        "ids.",
    )
    class_order: str = _setting(
        "random",
        "Order in which classes enter: random; taxonomy: one class of every "
        "coarse group first, siblings last; siblings_first, its control; "
        "far_first: the next always the one least like those before; "
        "near_first, its control; file:PATH, a CSV of names.",
    )
    taxonomy: str | None = _setting(
        None, "A CSV of class,group: the coarse groups of the classes."
    )
    descriptor: str = _setting(
        "classical",
        "What likeness is measured by. classical: colours and edges; learned: "
        "a small network trained on the same images.",
        choices=("classical", "learned"),
    )
    replay_hard: str | None = _setting(
        None,
        "RUN:FRACTION. From the second stage on, that fraction of every batch "
        "is of training images that a finished run got wrong.",
    )
    balance: str = _setting(
        "none",
        "oversample: show the images of small classes more often, so that "
        "every class is shown as often as any.",
        choices=("none", "oversample"),
    )
    size_jitter: tuple[float, ...] = _setting(
        (1.0,),
        "Show batches at the stage's size times each of these, as often as "
        "each is named, in random order.",
        each=float,
    )
    stage_steps: tuple[int, ...] = _setting(
        (), "Batches shown in each stage.", each=_integer
    )
    stage_epochs: tuple[float, ...] = _setting(
        (), "Or: passes over each stage's images.", each=float
    )
    batch_size: tuple[int, ...] = _setting(
        (64,), "Images a batch, stage by stage.", each=_integer
    )
    budget_gflops: float | None = _setting(
        None, "Cut or stretch all stages so that training costs this."
    )
    test_size: int | None = _setting(
        None, "Image size of the validation; the last stage's unless given."
    )

    model: str = _setting("resnet", "The network; see smartgrowth/models.")
    width: int = _setting(32, "Channels of the network's first stage.")
    depth: int = _setting(2, "Blocks in each of the network's stages.")
    dropout: float = _setting(0.0, "Dropout rate before the head.")
    enforce_rules: bool = _setting(
        False, "Stop before training if the assignment's rules are broken."
    )

    # On glyphs, 1,200 steps of 64 images at 32 px, one seed: adamw at 0.003,
    # 0.008, 0.016 ended at 66.5%, 77.5%, 72.3%; sgd at 0.05, 0.1, 0.2 at
    # 66.6%, 74.5%, 72.5%. On 10 classes of Tiny-ImageNet both gave 72%.
    optimizer: str = _setting(
        "adamw",
        "adamw; or sgd, with Nesterov momentum, which wants --lr=0.1 and "
        "--weight_decay=5e-4.",
        choices=("adamw", "sgd"),
    )
    lr: float | str = _setting(
        0.006,
        "The highest learning rate: a number; auto: found by a range test on "
        "the stage that costs most; auto:stage: by one before every stage.",
    )
    lr_min: float = _setting(1e-5, "Where a range test begins.")
    lr_max: float = _setting(1.0, "Where a range test ends at the latest.")
    schedule: str = _setting(
        "one_cycle",
        "Of the learning rate.",
        choices=(
            "constant",
            "cosine",
            "one_cycle",
            "triangular",
            "triangular2",
            "exp_range",
            "sgdr",
        ),
    )
    schedule_scope: str = _setting(
        "run",
        "One schedule over the run, or one for every stage.",
        choices=("run", "stage"),
    )
    cycle_len: int | None = _setting(
        None, "Steps of the (first) cycle; the whole scope unless given."
    )
    cycle_epochs: float | None = _setting(
        None, "Or: passes over a stage's images that it takes."
    )
    cycle_mult: float = _setting(1.0, "Growth of the cycles (sgdr).")
    weight_decay: float = _setting(
        0.05, "Decoupled, times the rate; not on batch norm and biases."
    )
    ema: float = _setting(
        0.0,
        "Decay a step of a moving average of the weights, such as 0.999, which "
        "is then what is validated and kept; 0: none.",
    )
    stage_restart: str = _setting(
        "none",
        "What a stage's begin does. momentum: the optimizer forgets earlier "
        "gradients; shrink_perturb: that, and all weights are shrunk and "
        "perturbed.",
        choices=("none", "momentum", "shrink_perturb"),
    )
    label_smoothing: float = _setting(
        0.0, "Share of a label spread over the classes that have entered."
    )
    augment: tuple[str, ...] = _setting(
        ("basic",),
        "none; basic: flip,shift; strong; names of variants; "
        "randaugment:N:MAGNITUDE, N of them for each image; keras:NAME or "
        "keras_cv:NAME, a layer of theirs. They add up: basic,cutout.",
        each=_name,
    )
    mixup: float = _setting(
        0.0,
        "Share of the images that are blended with another, labels too, at "
        "full strength.",
    )
    cutmix: float = _setting(
        0.0,
        "Share of the images that get a patch of another, labels too, at full "
        "strength.",
    )

    seed: int = _setting(0, "Of weights, batches, orders, augmentation.")
    precision: str = _setting(
        "auto",
        "auto: bfloat16 or float16 where the machine does it in hardware.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    devices: str = _setting(
        "auto",
        "auto: one, an accelerator if there is one; 1; all: every batch is "
        "shared by all, with JAX by those of several processes.",
        choices=("auto", "1", "all"),
    )
    deterministic: bool = _setting(
        False, "Equal bits on the same machine; slower on accelerators."
    )
    evals: int = _setting(
        20, "Evaluations, evenly over the training cost; stage ends besides."
    )
    checkpoint_minutes: float = _setting(
        5.0, "Minutes between checkpoints; stage ends besides."
    )
    tensorboard: bool = _setting(
        False, "Write log.csv's figures for TensorBoard too, in --workdir."
    )
    images: str | None = _setting(
        None, "--mode=predict: an image file, or a folder of them."
    )

    def __post_init__(self):
        if self.measure and self.mode != "plan":
            raise UserError(
                f"--measure with --mode={self.mode}: it belongs to --mode=plan"
            )
        for name in ("width", "depth", "cycle_len", "test_size"):
            _check(self, name, lambda v: v is None or v > 0, "above 0")
        for name in ("lr_min", "lr_max", "cycle_mult", "checkpoint_minutes"):
            _check(self, name, lambda v: 0 < v < math.inf, "above 0")
        _check(
            self,
            "cycle_epochs",
            lambda v: v is None or 0 < v < 1e6,
            "above 0",
        )
        if self.cycle_len and self.cycle_epochs:
            raise UserError(
                f"--cycle_len={self.cycle_len} and --cycle_epochs="
                f"{self.cycle_epochs:g} both say how long a cycle is; give one"
            )
        if self.lr_min >= self.lr_max:
            raise UserError(
                f"--lr_min={self.lr_min:g}: must be below "
                f"--lr_max={self.lr_max:g}"
            )
        if self.finds_rate:
            _check(self, "lr", AUTO_RATES.__contains__, RATE)
        else:
            _check(self, "lr", lambda v: 0 < v < math.inf, "above 0")
        _check(
            self,
            "budget_gflops",
            lambda v: v is None or 0 < v < math.inf,
            "above 0",
        )
        _check(self, "weight_decay", lambda v: 0 <= v < math.inf, "at least 0")
        _check(self, "evals", lambda v: v >= 1, "at least 1")
        _check(self, "seed", lambda v: 0 <= v < 2**31, "from 0 to 2147483647")
        for name in ("dropout", "label_smoothing", "ema"):
            _check(self, name, lambda v: 0 <= v < 1, "at least 0 and below 1")
        for name in ("mixup", "cutmix"):
            _check(self, name, lambda v: 0 <= v <= 1, "0 to 1")
        if self.mixup + self.cutmix > 1:
            raise UserError(
                f"--mixup={self.mixup:g} and --cutmix={self.cutmix:g} are "
                "shares of the same images; together at most 1"
            )
        self._check_orders()
        for field in dataclasses.fields(self):
            if field.metadata["each"] and field.default:
                _check(self, field.name, bool, "one value or more")
        for name in ("grow_samples", "grow_classes", "grow_size"):
            _check_each(self, name, lambda v: v is ALL or v > 0, "above 0")
        for name in ("stage_steps", "batch_size"):
            _check_each(self, name, lambda v: v > 0, "above 0")
        _check_each(self, "stage_epochs", lambda v: 0 < v < 1e6, "above 0")
        _check_each(self, "grow_augment", lambda v: 0 <= v <= 1, "0 to 1")
        _check_each(self, "size_jitter", lambda v: 0 < v <= 8, "above 0, to 8")
        if not self.stage_steps and not self.stage_epochs:
            object.__setattr__(self, "stage_steps", (1000,))
        elif self.stage_steps and self.stage_epochs:
            raise UserError(
                "--stage_steps and --stage_epochs both say how long stages "
                "are; give one and set the other to nothing (--stage_steps=)"
            )
        self.num_stages  # noqa: B018 - checks the lists' lengths

    def _check_orders(self) -> None:
        for name, known, prefixes in (
            ("class_order", CLASS_ORDERS, ("file",)),
            ("sample_order", SAMPLE_ORDERS, ("hardest", "file")),
        ):
            value = getattr(self, name)
            kind, _, rest = value.partition(":")
            if value not in known and not (kind in prefixes and rest):
                forms = ", ".join((*known, *(f"{p}:..." for p in prefixes)))
                raise UserError(f"--{name}={value}: must be one of {forms}")
        if self.replay_hard is not None:
            self.replay  # noqa: B018 - checks it

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
    def replay(self) -> tuple[str, float] | None:
        """The run and the fraction of `--replay_hard`, or None."""
        if self.replay_hard is None:
            return None
        run, _, text = self.replay_hard.rpartition(":")
        try:
            fraction = float(text)
        except ValueError:
            fraction = 0.0
        if not run or not 0 < fraction <= 1:
            raise UserError(
                f"--replay_hard={self.replay_hard}: must be RUN:FRACTION, a "
                "finished run's folder and a number above 0, up to 1"
            )
        return run, fraction

    @property
    def num_stages(self) -> int:
        """The common length of the stage lists that are longer than one."""
        lengths = {
            name: len(getattr(self, name))
            for name in STAGE_LISTS
            if len(getattr(self, name)) > 1
        }
        if len(set(lengths.values())) > 1:
            named = ", ".join(f"--{k} has {n}" for k, n in lengths.items())
            raise UserError(
                f"stage lists of different lengths: {named}; give each one "
                "value a stage, or a single value for all stages"
            )
        return max(lengths.values(), default=1)

    def per_stage(self, name: str) -> tuple:
        """A stage list, a single value repeated for every stage."""
        values = getattr(self, name)
        return values * self.num_stages if len(values) == 1 else values

    @property
    def final_size(self) -> int:
        """The image size that the finished network is for, in pixels."""
        return self.test_size or self.per_stage("grow_size")[-1]

    def flag_lines(self) -> list[str]:
        """`--name=value` of every setting; a flagfile that repeats the run."""
        return [
            f"--{name}={flag_text(value)}"
            for name, value in dataclasses.asdict(self).items()
            if value is not None
        ]


STAGE_LISTS = (
    "grow_samples",
    "grow_classes",
    "grow_size",
    "grow_augment",
    "stage_steps",
    "stage_epochs",
    "batch_size",
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The settings of --mode=compare alone; they are no part of a run.

    Raises `UserError` when a value is out of range.
    """

    arms: tuple[str, ...] = _setting(
        (),
        "--mode=compare: flagfiles, or folders of finished runs; the first is "
        "the baseline.",
        each=_name,
    )
    seeds: int = _setting(5, "Runs of every arm, from --seed on.")
    jobs: int = _setting(
        1, "Runs at once; above 1 their seconds mean nothing, and none appear."
    )
    budgets: tuple[float, ...] = _setting(
        (1.0,), "Shares of the cost, each trained to its own end.", each=float
    )
    target: float | None = _setting(
        None,
        "Accuracy, 0 to 1, whose cost is read off the curves; what the "
        "baseline of the same seed ended with unless given.",
    )
    equal: str = _setting(
        "gflops",
        "What the arms get the same of: as much as the baseline spends, or "
        "--budget_gflops.",
        choices=("gflops", "images", "seconds"),
    )

    def __post_init__(self):
        _check(self, "arms", bool, "flagfiles or folders of finished runs")
        for name in ("seeds", "jobs"):
            _check(self, name, lambda v: v >= 1, "at least 1")
        _check(self, "budgets", bool, "one value or more")
        _check_each(self, "budgets", lambda v: 0 < v <= 1, "above 0, up to 1")
        _check(
            self,
            "target",
            lambda v: v is None or 0 < v <= 1,
            "above 0, up to 1",
        )
        if self.equal == "seconds" and self.jobs > 1:
            raise UserError(
                "--equal=seconds: runs that share the machine cannot be timed; "
                "give --jobs=1"
            )


def flag_text(value: Any) -> str:
    """A setting's value as it stands behind `--name=`."""
    if isinstance(value, tuple | list):
        text = io.StringIO()
        # Quotes an entry with a comma in it, as absl reads it.
        csv.writer(text, lineterminator="").writerow(map(flag_text, value))
        return text.getvalue()
    if value is ALL:
        return "all"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _check(config, name, accept, wanted) -> None:
    value = getattr(config, name)
    if not accept(value):
        raise UserError(f"--{name}={flag_text(value)}: must be {wanted}")


def _check_each(config, name, accept, wanted) -> None:
    for value in getattr(config, name):
        if not accept(value):
            raise UserError(
                f"--{name}={flag_text(getattr(config, name))}: every value "
                f"must be {wanted}, got {flag_text(value)}"
            )
