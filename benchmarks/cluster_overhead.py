"""What a comparison costs beyond the processes that it starts.

python benchmarks/cluster_overhead.py [--runs=20] [--rounds=5]

Each run is a process that sleeps for a second and writes what a finished run
has. Twenty of them, one after another, by the comparison's own loop: in
processes of this machine, and as tasks of a Dask cluster of one worker, whose
start and end count. In turn, medians of the rounds. The last line is JSON.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

from smartgrowth.comparison import runner
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.cluster import ClusterPool
from smartgrowth.comparison.jobs import LocalPool
from smartgrowth.config import Config

SECONDS = 1.0
SLEEPER = f"""
import pathlib, sys, time
began = time.monotonic()
time.sleep({SECONDS})
[folder] = [a.partition("=")[2] for a in sys.argv if a[:10] == "--workdir="]
pathlib.Path(folder, "metrics.json").write_text('{{"val_accuracy": 0.5}}')
"""


def make_trials(folder: pathlib.Path, count: int) -> list[Trial]:
    """Returns trials that nothing but their processes will touch."""
    trials = []
    for seed in range(count):
        directory = folder / f"seed{seed}"
        directory.mkdir(parents=True)
        config = Config(workdir=str(directory), seed=seed)
        trials.append(
            Trial("a", seed, 1.0, directory, {"gflops": 1, "hash": ""}, config)
        )
    return trials


def measure(folder: pathlib.Path, pool, count: int) -> float:
    """Returns the seconds of all runs, by those of their processes."""
    trials = make_trials(folder, count)
    began = time.monotonic()
    with pool:
        failed = runner.train_all(trials, pool, runner.Forecast())
    assert not failed
    return (time.monotonic() - began) / (count * SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = {"processes": [], "cluster": []}
    with tempfile.TemporaryDirectory() as root:
        program = pathlib.Path(root, "sleeper.py")
        program.write_text(SLEEPER)
        for number in range(given.rounds):
            folder = pathlib.Path(root, str(number))
            pools = {
                "processes": LocalPool(
                    1,
                    lambda trial: [
                        *(sys.executable, str(program)),
                        *trial.config.flag_lines(),
                    ],
                ),
                "cluster": ClusterPool("local:1", folder, [str(program)]),
            }
            for name, pool in pools.items():
                ratio = measure(folder / name, pool, given.runs)
                found[name].append(ratio)
                print(f"round {number + 1}, {name}: {ratio:.3f} x", flush=True)
    print(
        json.dumps(
            {
                name: {
                    "median": statistics.median(ratios),
                    "of rounds": [round(ratio, 3) for ratio in ratios],
                }
                for name, ratios in found.items()
            }
        )
    )


if __name__ == "__main__":
    main()
