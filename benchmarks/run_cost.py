"""Where the time of a run goes: start-up, stages' beginnings, judging, results.

python benchmarks/run_cost.py [--rounds=5] [ANY FLAG OF A RUN ...]

Runs `configs/h3.flags` with 15 steps, where nearly all is fixed cost, and as a
short run of 1,500 GFLOPs, in processes of their own, and reads what each says
and writes of itself. Once before, untimed, so that the images are stored. The
seconds are the clock's, medians of the rounds; `processor` is user and system
time, which other work beside disturbs less. The last line is JSON.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
RUNS = {
    "15 steps": ["--stage_steps=5,5,5"],
    "short": ["--budget_gflops=1500"],
}


def processor_seconds() -> float:
    """Returns what the processes that have ended took, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(flags: list[str], folder: str) -> dict[str, float]:
    """Trains a run from its first step to its report; returns seconds by part.

    start: from the shell to the first batch's compilation. boundaries: from a
    stage's beginning to its first batch learned. training: of all other
    batches. evaluations: with the checkpoints beside them. results: what
    follows the last evaluation, the report and the process's end included.
    """
    command = [sys.executable, "-m", "smartgrowth.main"]
    command += ["--flagfile=configs/h3.flags", *flags]
    command += [f"--workdir={folder}/run", "--restart"]
    processor, began = processor_seconds(), time.time()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True
    )
    ended = time.time()
    directory = pathlib.Path(folder, "run")
    metrics = json.loads((directory / "metrics.json").read_text())
    boundaries = metrics["boundary_seconds"]
    # The log is written with every row, last of all after the last evaluation.
    logged = (directory / "log.csv").stat().st_mtime
    claimed = (directory / "plan.json").stat().st_mtime
    training = metrics["train_seconds"] - sum(boundaries)
    parts = {
        "start": claimed - began,
        "boundaries": sum(boundaries),
        "training": training,
        "evaluations": logged - claimed - metrics["train_seconds"],
        "results": ended - logged,
    }
    return parts | {
        "all": ended - began,
        "processor": processor_seconds() - processor,
        "first_step": parts["start"] + boundaries[0],
        "longest_later_boundary": max(boundaries[1:], default=0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    settings, flags = parser.parse_known_args()
    rounds = {name: [] for name in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        run([*RUNS["15 steps"], *flags], folder)  # stores the images
        for _ in range(settings.rounds):
            for name, own in RUNS.items():
                rounds[name].append(run([*own, *flags], folder))
    figures = {}
    for name, found in rounds.items():
        figures[name] = {
            part: round(statistics.median(each[part] for each in found), 2)
            for part in found[0]
        }
        whole = figures[name]["all"]
        for part, seconds in figures[name].items():
            spread = [each[part] for each in found]
            print(
                f"{name:9} {part:22} {seconds:7.1f} s  "
                f"({min(spread):.1f} to {max(spread):.1f})  "
                f"{seconds / whole:6.1%}"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
