"""Fine-tuning against training from scratch, on classes of Tiny-ImageNet.

python benchmarks/finetune.py --data_dir=tiny-imagenet-200.zip [--seeds=5]

A run on the first 50 classes is what the others start from.

    compare   10 other classes with 50 images each, at equal cost, through
              --mode=compare: from scratch; all layers from the start, at one
              rate and at rates by layer group; gradual unfreezing, likewise.
              The others also against all layers at one rate
    add       5 classes are added to a run on 20: what becomes of the old ones
    epoch     the seconds of an epoch of the head on precomputed activations,
              and through the body

Finished runs are kept in --workdir: stopped, the same command goes on. The last
line is JSON.
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

import numpy as np

from smartgrowth.data.sources import tiny_imagenet_files
from smartgrowth.runs.predictions import read_classes

ROOT = pathlib.Path(__file__).parents[1]
SIZE = 32
# Of the runs on few images; each value of the plan's lists is for one stage.
FEW = ["--grow_samples=50", "--batch_size=32", "--augment=basic"]
GRADUAL = ["--grow_trainable=head,last,all", "--stage_epochs=10,10,20"]
ARMS = {
    "scratch": ["--lr=0.006"],
    "all_one_rate": ["--lr=0.003"],
    "all_group_rates": ["--lr=0.003", "--lr_groups=3x"],
    "gradual_one_rate": ["--lr=0.003", *GRADUAL],
    "gradual_group_rates": ["--lr=0.003", "--lr_groups=3x", *GRADUAL],
}


def run(*flags: str) -> None:
    """Runs the program, and shows what it prints."""
    print("+", *flags, flush=True)
    command = [sys.executable, "-m", "smartgrowth.main", *flags]
    subprocess.run(command, cwd=ROOT, check=True)


def train(folder: pathlib.Path, *flags: str) -> dict:
    """Trains a run; returns its metrics."""
    run(f"--workdir={folder}", *flags)
    return json.loads((folder / "metrics.json").read_text())


def compare(given, source: pathlib.Path, common, classes) -> dict:
    """Returns a row for every arm on new classes, by its comparison."""
    folder = given.workdir / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, flags in ARMS.items():
        start = [] if name == "scratch" else [f"--init_from={source}"]
        lines = [*FEW, "--stage_epochs=40", *start, *flags]
        path = folder / f"{name}.flags"
        path.write_text("\n".join(lines) + "\n")
        paths.append(str(path))
    run(
        "--mode=compare",
        f"--arms={','.join(paths)}",
        f"--seeds={given.seeds}",
        f"--classes={classes}",
        f"--workdir={folder}",
        "--evals=10",
        *common,
    )
    rates = given.workdir / "compare_rates"
    tuned = [str(folder / name) for name in ARMS if name != "scratch"]
    run("--mode=compare", f"--arms={','.join(tuned)}", f"--workdir={rates}")
    return {
        "against scratch": read_rows(folder),
        "against all layers at one rate": read_rows(rates),
    }


def read_rows(folder: pathlib.Path) -> dict:
    """Returns the rows of a comparison's arms, by name."""
    with (folder / "comparison_arms.csv").open() as file:
        return {row["arm"]: row for row in csv.DictReader(file)}


def accuracy(folder: pathlib.Path, names, among=None) -> float:
    """Returns a run's accuracy on the validation images of some classes.

    among: classes between which it chooses, all of its own unless given.
    """
    classes = read_classes(folder)
    with np.load(folder / "predictions.npz") as file:
        labels, probabilities = file["labels"], file["probabilities"]
    if among is not None:
        absent = [i for i, name in enumerate(classes) if name not in among]
        probabilities[:, absent] = -1.0
    of_names = np.isin(labels, [classes.index(name) for name in names])
    hits = probabilities.argmax(1) == labels
    return float(hits[of_names].mean())


def add_classes(given, common, old, new) -> list[dict]:
    """Returns accuracies before and after classes were added, a seed each."""
    found = []
    for seed in range(given.seeds):
        before = given.workdir / f"add/before_{seed}"
        after = given.workdir / f"add/after_{seed}"
        flags = [*common, "--augment=basic", f"--seed={seed}"]
        train(
            before,
            *flags,
            f"--classes={old}",
            f"--budget_gflops={given.gflops}",
        )
        train(
            after,
            *flags,
            f"--classes={old},{new}",
            f"--init_from={before}",
            "--grow_trainable=head,all",
            "--stage_epochs=1,4",
            "--lr=0.003",
            "--lr_groups=3x",
        )
        names = read_classes(before)
        added = [n for n in read_classes(after) if n not in names]
        found.append(
            {
                "old before": accuracy(before, names),
                "old after": accuracy(after, names),
                "old after, among the old": accuracy(after, names, names),
                "new": accuracy(after, added),
            }
        )
    return found


def time_epochs(given, source, common, classes) -> dict:
    """Returns seconds of an epoch of the head, by way of training."""
    seconds = {}
    for precompute in ("true", "false"):
        folder = given.workdir / f"epoch/{precompute}"
        metrics = train(
            folder,
            *common,
            f"--init_from={source}",
            f"--classes={classes}",
            "--grow_trainable=head",
            "--augment=none",
            "--stage_epochs=40" if precompute == "true" else "--stage_epochs=4",
            "--evals=1",
            f"--precompute={precompute}",
            "--restart",
        )
        training = metrics["train_seconds"] - sum(metrics["boundary_seconds"])
        seconds[precompute] = training / metrics["epochs"]
    return {
        "precomputed": seconds["true"],
        "through the body": seconds["false"],
        "ratio": seconds["false"] / seconds["true"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--gflops", type=float, default=8000, help="of 20 classes"
    )
    parser.add_argument("--source_gflops", type=float, default=20000)
    parser.add_argument("--workdir", default="runs/finetune", type=pathlib.Path)
    parser.add_argument("--parts", default="compare,add,epoch")
    given = parser.parse_args()
    given.workdir = given.workdir.absolute()
    common = [
        "--dataset=tiny_imagenet",
        f"--data_dir={given.data_dir.absolute()}",
        f"--grow_size={SIZE}",
        "--depth=1",
        "--label_smoothing=0.1",
    ]
    names = list(tiny_imagenet_files.open_files(given.data_dir).class_names)
    quoted = [f'"{name}"' if "," in name else name for name in names]
    parts, figures = given.parts.split(","), {}
    source = given.workdir / "source"
    figures["source"] = train(
        source,
        *common,
        "--augment=basic",
        "--classes=50",
        f"--budget_gflops={given.source_gflops}",
    )["val_accuracy"]
    if "compare" in parts:
        few = ",".join(quoted[50:60])
        figures["compare"] = compare(given, source, common, few)
    if "add" in parts:
        found = add_classes(
            given, common, ",".join(quoted[60:80]), ",".join(quoted[80:85])
        )
        figures["add"] = {
            name: {
                "mean": statistics.mean(each[name] for each in found),
                "of seeds": [each[name] for each in found],
            }
            for name in found[0]
        }
    if "epoch" in parts:
        figures["epoch"] = time_epochs(
            given, source, common, ",".join(quoted[60:80])
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
