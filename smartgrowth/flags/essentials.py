"""The flags of every command: what to do, on which data, into which folder."""

import dataclasses

from smartgrowth.flags.checks import SEED, SHARE, SHARE_BELOW_ONE, one_of
from smartgrowth.flags.flag import Identity, flag
from smartgrowth.names import printable

MODES = (
    "train",
    "plan",
    "explore",
    "lr_find",
    "evaluate",
    "predict",
    "export",
    "report",
    "audit",
    "compare",
)
FORMATS = ("saved_model", "tflite", "onnx")


@dataclasses.dataclass(frozen=True)
class Essentials:
    """The group Essentials."""

    mode: str = flag(
        "train", "What to do.", identity=Identity.NEVER, choices=MODES
    )
    dataset: str = flag(
        "glyphs",
        "glyphs, tiny_imagenet, cifar10, cifar100, imagenette, tfds:NAME or "
        "folder:PATH.",
        identity=Identity.ALWAYS,
    )
    data_dir: str | None = flag(
        None,
        "Where the dataset already is: a zip or a folder.",
        identity=Identity.NEVER,
    )
    cache_dir: str = flag(
        "~/.cache/smartgrowth",
        "Where prepared datasets are kept; best on a local disk.",
        identity=Identity.NEVER,
    )
    classes: tuple[str, ...] = flag(
        ("all",),
        "all, a number (that many, in the dataset's order), or names; one "
        "with a comma in double quotes.",
        identity=Identity.INDIRECT,
        each=printable,
    )
    max_bad_fraction: float = flag(
        0.01,
        "Stop if more than this fraction of the training or the validation "
        "images cannot be read; fewer are left out and named.",
        identity=Identity.NEVER,
        check=SHARE,
    )
    drop_leaks: bool = flag(
        False,
        "Do not train on images that also stand in validation, exactly or "
        "nearly.",
        identity=Identity.IF_SET,
    )
    hold_out: float = flag(
        0.0,
        "Validate on this share of each class's training images instead, and "
        "do not train on them: to choose settings by them, and judge the "
        "choice by the validation images.",
        identity=Identity.IF_SET,
        check=SHARE_BELOW_ONE,
    )
    workdir: str = flag(
        "runs/default",
        "The run directory: everything that a run writes.",
        identity=Identity.NEVER,
    )
    restart: bool = flag(
        False,
        "Delete a run in --workdir and begin anew.",
        identity=Identity.NEVER,
    )
    take_over: bool = flag(
        False,
        "Take the run in --workdir from a process that trains it; that one "
        "stops.",
        identity=Identity.NEVER,
    )
    seed: int = flag(
        0,
        "The seed of weights, batches, orders and augmentation.",
        identity=Identity.ALWAYS,
        check=SEED,
    )
    measure: bool = flag(
        False,
        "--mode=plan: time a few steps of every stage and say how long the run "
        "will take.",
        identity=Identity.NEVER,
    )
    images: str | None = flag(
        None,
        "--mode=predict: an image file, or a folder of them.",
        identity=Identity.NEVER,
    )
    format: tuple[str, ...] = flag(
        ("saved_model",),
        f"--mode=export: what to write, of {', '.join(FORMATS)}.",
        identity=Identity.NEVER,
        each=str,
        check=one_of(FORMATS, ()),
    )
    quantize: bool = flag(
        False,
        "--mode=export: round the weights of --format=tflite to 8 bits.",
        identity=Identity.NEVER,
    )
