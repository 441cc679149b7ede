"""Accuracy against the clock, beside what one would use instead.

pip install -r benchmarks/requirements-bench.txt
python benchmarks/time_to_accuracy.py --data_dir=tiny-imagenet-200.zip

On 20 classes of Tiny-ImageNet at 32 px, with every seed in turn:

    h3        configs/h3.flags with --augment=basic, at shares of the budget,
              each trained to its own end
    baseline  configs/baseline.flags, likewise, the whole budget
    keras     the same network in stock layers, as a Keras tutorial trains it,
              for as many epochs as the baseline
    fastai    the same layers in torch, progressive resizing, one cycle a stage

Every tool reads the same files; see `peer_runs.py` for what each does, and
what its clock counts. One that is not installed is left out. Finished runs are
kept in --workdir: stopped, the same command goes on. There are also curves.json
and curves.png. The last line is JSON.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from smartgrowth import UserError, command_line
from smartgrowth.comparison.cost_to_accuracy import cost_to_reach
from smartgrowth.comparison.significance import bootstrap_band
from smartgrowth.data.load import open_data
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.sources import tiny_imagenet_files
from smartgrowth.experiment import make_experiment
from smartgrowth.models import resnet
from smartgrowth.rendering import figure as figures
from smartgrowth.rendering.chart import logarithmic

HERE = pathlib.Path(__file__).parent
SIZES = (16, 24, 32)  # pixels, of the stages; the last is validated
FOLDERS = {TRAIN: "train", VALIDATION: "val"}
BAND = 0.18  # opacity
# Peer -> the share of its time in which h3 is to reach its final accuracy.
GOALS = {"fastai": 1 / 5, "baseline": 1 / 2}


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is trained with every seed.

    settings: of `peer_runs.py`; `needs`: the modules that it imports.
    """

    name: str
    settings: dict
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        return [
            name for name in self.needs if not importlib.util.find_spec(name)
        ]


def our_flags(given, name: str, share: float = 1.0) -> list[str]:
    """Returns the flags of one of our arms, but for its seed and folder."""
    return [
        f"--flagfile={HERE.parent / 'configs' / name}.flags",
        "--dataset=tiny_imagenet",
        f"--data_dir={given.data_dir}",
        f"--classes={given.classes}",
        f"--cache_dir={pathlib.Path(given.workdir, 'cache').absolute()}",
        "--augment=basic",
        f"--budget_gflops={given.budget_gflops * share:g}",
    ]


def make_arms(given, data, folder: pathlib.Path) -> list[Arm]:
    """Returns all arms, ours first, the largest share of the budget first.

    folder: of the images, as `extract` leaves them.
    """
    arms = []
    for share in sorted(given.shares, reverse=True):
        name = "h3" if share == 1 else f"h3 at {share:g} of the budget"
        flags = our_flags(given, "h3", share)
        arms.append(Arm(name, {"tool": "ours", "flags": flags}))
    flags = our_flags(given, "baseline")
    arms.append(Arm("baseline", {"tool": "ours", "flags": flags}))
    plain = make_experiment(command_line.from_flag_lines(flags), data)
    common = {
        "folder": str(folder),
        "num_classes": len(data.class_names),
        "width": plain.config.width,
        "depths": resnet.depths(plain.config.depth),
    }
    keras = {
        "tool": "keras",
        "size": SIZES[-1],
        "epochs": max(round(plain.epochs), 1),
        "lr": given.keras_lr,
        "mean": [float(x) for x in data.mean],
        "variance": [float(x) for x in data.variance],
    }
    fastai = {
        "tool": "fastai",
        "sizes": SIZES,
        "epochs": given.fastai_epochs,
        "lr": given.fastai_lr,
        "channels_last": given.fastai_channels_last,
    }
    arms.append(Arm("keras", keras | common, ("keras", "tensorflow")))
    arms.append(Arm("fastai", fastai | common, ("torch", "fastai")))
    return arms


def extract(data_dir: str, names: Sequence[str], folder: pathlib.Path) -> None:
    """Writes the images of some classes as they are, a folder for each.

    names: of the classes, as `Data.class_names` has them.
    """
    if folder.exists():
        return
    files = tiny_imagenet_files.open_files(data_dir)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    for split, into in FOLDERS.items():
        for path, label, content in files.read(split):
            name = files.class_names[label]
            if name in names:
                target = partial / into / name.split()[0]
                target.mkdir(parents=True, exist_ok=True)
                (target / pathlib.Path(path).name).write_bytes(content)
    partial.rename(folder)


def run(arm: Arm, seed: int, workdir: pathlib.Path) -> dict:
    """Returns what a run found, of an earlier time if it is finished.

    `error` alone if it failed.
    """
    name = f"{arm.name.replace(' ', '_')}-seed{seed}"
    result = workdir / "results" / f"{name}.json"
    asked = result.with_suffix(".settings.json")
    settings = arm.settings | {"label": f"{arm.name}, seed {seed}"}
    if arm.settings["tool"] == "ours":
        folder = (workdir / "runs" / name).absolute()
        # Not resumed: the clock is that of one process.
        of_run = [f"--seed={seed}", f"--workdir={folder}", "--restart"]
        settings["flags"] = settings["flags"] + of_run
    else:
        settings["seed"] = seed
    settings = json.loads(json.dumps(settings))  # tuples are lists there
    if result.exists():
        found = json.loads(result.read_text("utf-8"))
        if found["settings"] == settings:
            print(f"{settings['label']}: finished before", flush=True)
            return found
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    asked.write_text(json.dumps(settings), "utf-8")
    print(f"{settings['label']}: trains", flush=True)
    before, began = processor_seconds(), time.perf_counter()
    log = result.with_suffix(".log")
    with log.open("w") as errors:
        code = subprocess.run(
            [sys.executable, HERE / "peer_runs.py", asked, result],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=errors,
            check=False,
        ).returncode
    if code or not result.exists():
        lines = log.read_text("utf-8", "replace").split("\n")
        last = next((line for line in lines[::-1] if line.strip()), "")
        return {"error": f"exit status {code}: {last.strip()} ({log})"}
    found = json.loads(result.read_text("utf-8"))
    found["process_seconds"] = round(time.perf_counter() - began, 1)
    found["processor_seconds"] = round(processor_seconds() - before, 1)
    result.write_text(json.dumps(found) + "\n", "utf-8")
    return found


def processor_seconds() -> float:
    """Returns what the children that have ended took of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summarize(runs: Sequence[dict]) -> dict:
    """Returns the figures of one arm, of its runs with every seed."""
    last = [found["points"][-1] for found in runs]
    accuracies = [point["accuracy"] for point in last]
    seconds = [point["seconds"] for point in last]
    return {
        "seeds": len(runs),
        "accuracy": round(float(np.mean(accuracies)), 4),
        "deviation": round(float(np.std(accuracies, ddof=1)), 4)
        if len(runs) > 1
        else None,
        "seconds": round(float(np.mean(seconds)), 1),
        "seconds_of_seeds": seconds,
        "process_seconds": mean_of(runs, "process_seconds"),
        "processor_seconds": mean_of(runs, "processor_seconds"),
        "parameters": runs[0]["parameters"],
        "load": [round(found["load"], 2) for found in runs],
    }


def mean_of(runs: Sequence[dict], name: str) -> float:
    return round(float(np.mean([found[name] for found in runs])), 1)


def reach(runs: Sequence[dict], target: float, within: float) -> dict:
    """Returns when an arm first reached an accuracy, at the final size.

    Args:
      runs: of the arm.
      target: the mean final accuracy of another arm.
      within: mean seconds of that one.

    Returns:
      `reached`: of how many seeds. If all did, their mean `seconds`, and the
      `ratio` of the other arm's to them.
    """
    seconds = []
    for found in runs:
        points = [p for p in found["points"] if p["size"] == SIZES[-1]]
        seconds.append(
            cost_to_reach(
                [point["seconds"] for point in points],
                [point["accuracy"] for point in points],
                target,
            )
        )
    figures = {"reached": sum(not math.isnan(each) for each in seconds)}
    if figures["reached"] == len(runs):
        mean = float(np.mean(seconds))
        figures |= {
            "seconds": round(mean, 1),
            "ratio": round(within / mean, 2),
        }
    return figures


def judge(name: str, reached: dict[str, dict]) -> str:
    """Returns a line: whether h3 reached a peer within its share of time.

    reached: arm -> as `reach` returns it.
    """
    ratios = {
        arm: each["ratio"]
        for arm, each in reached.items()
        if "ratio" in each and arm.startswith("h3")
    }
    wanted = 1 / GOALS[name]
    goal = f"goal: the accuracy of {name} in 1/{wanted:g} of its time: "
    if not ratios:
        return f"{goal}not reached, nor is that accuracy by all seeds"
    arm = max(ratios, key=ratios.get)
    verdict = "reached" if ratios[arm] >= wanted else "not reached"
    return f"{goal}{verdict}, 1/{ratios[arm]:.1f} by {arm}"


def draw(results: dict[str, list[dict]], figure) -> str:
    """Draws accuracy against seconds: means of the seeds, and bands."""
    from matplotlib.ticker import PercentFormatter

    figure.set_size_inches(7.5, 4.6)
    axis, ends = figure.subplots(), []
    for number, (name, runs) in enumerate(results.items()):
        # Of every evaluation, as the seeds' times differ.
        seconds, accuracies = (
            np.array([[p[key] for p in found["points"]] for found in runs])
            for key in ("seconds", "accuracy")
        )
        mean, color = accuracies.mean(axis=0), f"C{number}"
        times = seconds.mean(axis=0)
        sizes = {point["size"] for point in runs[0]["points"]}
        label = f"{name} (at each stage's size)" if len(sizes) > 1 else name
        axis.plot(times, mean, "o-", color=color, markersize=3, label=label)
        axis.fill_between(
            times, *bootstrap_band(accuracies), color=color, alpha=BAND, lw=0
        )
        ends.append(f"{name} {mean[-1]:.1%} after {times[-1]:.0f} s")
    axis.set(xscale="log", xlabel="seconds", ylim=(0, None))
    ticks = logarithmic(*axis.get_xlim(), "seconds").ticks
    axis.set_xticks(*zip(*ticks, strict=True))
    axis.minorticks_off()
    axis.set_ylabel("validation accuracy")
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    figure.legend(loc="outside upper left", ncols=2)
    return "; ".join(ends)


def show_table(table: dict[str, dict]) -> None:
    """Prints the figures of all arms; those of some may be an `error`."""
    width = max(map(len, table))
    print(f"\n{'':{width}}  accuracy at 32 px  seconds  processor s  seeds")
    for name, row in table.items():
        if "error" in row:
            print(f"{name:{width}}  {row['error']}")
            continue
        deviation = row["deviation"]
        spread = f" ± {deviation:.1%}" if deviation is not None else ""
        print(
            f"{name:{width}}  {row['accuracy']:>10.1%}{spread:7}  "
            f"{row['seconds']:7.1f}  {row['processor_seconds']:11.1f}  "
            f"{row['seeds']:5}"
        )


def show_reached(reached: dict[str, dict]) -> None:
    """Prints when our arms reached the others' final accuracies."""
    for peer, arms in reached.items():
        print(f"\nuntil the final accuracy of {peer} is first reached")
        width = max(map(len, arms))
        for arm, each in arms.items():
            if "ratio" in each:
                part = 1 / each["ratio"]
                text = f"{each['seconds']:7.1f} s, {part:.2f} of its time"
            else:
                text = f"by {each['reached']} of the seeds"
            print(f"  {arm:{width}}  {text}")


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="The defaults take about an hour on two cores.",
    )
    add = parser.add_argument
    add("--data_dir", required=True, help="Tiny-ImageNet: a zip or a folder")
    add("--classes", default="20", help="a number, or names; as --classes")
    add("--budget_gflops", type=float, default=25000)
    add("--shares", type=numbers, default="0.2,0.5,1", help="for h3")
    add("--seeds", type=int, default=3)
    add("--fastai_epochs", type=int, default=4, help="per stage")
    add("--fastai_lr", type=float, default=0.003)
    add("--fastai_channels_last", action="store_true")
    add("--keras_lr", type=float, default=0.001)
    add("--workdir", default="runs/time_to_accuracy")
    given = parser.parse_args()
    given.data_dir = str(pathlib.Path(given.data_dir).absolute())
    return given


def prepare(given, workdir: pathlib.Path):
    """Returns data and folder of the images, and the seconds to store them.

    The seconds are those of the first time, and no part of any clock.
    """
    flags = our_flags(given, "h3")
    began = time.perf_counter()
    data = open_data(command_line.from_flag_lines(flags))
    seconds = {"store": round(time.perf_counter() - began, 1)}
    folder = (workdir / f"images-{data.content[:8]}").absolute()
    began, note = time.perf_counter(), folder.with_suffix(".json")
    extract(given.data_dir, data.class_names, folder)
    seconds["folders"] = round(time.perf_counter() - began, 1)
    if note.exists():
        seconds = json.loads(note.read_text("utf-8"))
    note.write_text(json.dumps(seconds), "utf-8")
    return data, folder, seconds


def main() -> None:
    given = parse()
    workdir = pathlib.Path(given.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    data, folder, seconds = prepare(given, workdir)
    arms = make_arms(given, data, folder)
    print(
        f"{len(data.class_names)} classes, {len(data.train.labels):,} training "
        f"and {len(data.validation.labels):,} validation images; stored in "
        f"{seconds['store']} s, as folders in {seconds['folders']} s",
        flush=True,
    )
    table, runs = {}, {}
    for arm in arms:
        if missing := arm.missing():
            table[arm.name] = {
                "error": f"not run: no {' and no '.join(missing)}; pip install "
                "-r benchmarks/requirements-bench.txt"
            }
    for seed in range(given.seeds):
        for arm in arms:
            if arm.name in table:
                continue
            found = run(arm, seed, workdir)
            if "error" in found:
                table[arm.name] = found
                print(f"{arm.name}, seed {seed}: {found['error']}", flush=True)
            else:
                runs.setdefault(arm.name, []).append(found)
    results = {
        arm.name: runs[arm.name] for arm in arms if arm.name not in table
    }
    table |= {name: summarize(found) for name, found in results.items()}
    counts = {name: found[0]["parameters"] for name, found in results.items()}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"networks of different size: {counts}")
    (workdir / "curves.json").write_text(json.dumps(results), "utf-8")
    png, alt = figures.render(functools.partial(draw, results), "light")
    (workdir / "curves.png").write_bytes(png)
    show_table({arm.name: table[arm.name] for arm in arms})
    reached = {
        peer: {
            name: reach(found, table[peer]["accuracy"], table[peer]["seconds"])
            for name, found in results.items()
            if name != peer and found[0]["settings"]["tool"] == "ours"
        }
        for peer in ("baseline", "keras", "fastai")
        if peer in results
    }
    show_reached(reached)
    print()
    for peer in GOALS:
        if peer in reached:
            print(judge(peer, reached[peer]))
    print(f"\n{workdir / 'curves.png'}: {alt}")
    print(json.dumps({"seconds": seconds, "arms": table, "reached": reached}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on")
