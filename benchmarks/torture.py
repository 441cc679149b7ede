"""Kills trainings at random moments until they end, and compares bit by bit.

python benchmarks/torture.py --kills=100

For every engine and every set of options that carries state: one run that
nothing disturbs, then runs of the same flags that are killed by SIGKILL again
and again, and resumed. Each must end with the same weights, predictions, best
checkpoint and log (but for seconds), to the last bit. A kill comes

    moment    after a random time
    write     at a random operation on a file of the run or of the local
              disk's copy of a checkpoint, or some milliseconds into it
    boundary  shortly before, in or after the start of a stage
    results   while the final files are written

Then the negative controls: resumes that leave out one part of the state must
end differently, or the comparison could not fail. The last line is JSON.

Each training is a process of its own, forked from one that has imported the
program and has run nothing: an import takes longer than these runs.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ENGINES = ("tensorflow", "jax")
KINDS = ("moment", "write", "boundary", "results")
KILLS_PER_RUN = 5  # at most; then a run is left alone until it ends
# Flags of every run. A checkpoint after every batch: each is a place to resume.
COMMON = (
    "--stage_steps=12,8",
    "--batch_size=8",
    "--width=8",
    "--depth=1",
    "--evals=4",
    "--deterministic",
    "--precision=float32",
    "--checkpoint_minutes=1e-9",
)
# What carries state over a resume, in several mixtures.
OPTIONS = {
    "adamw, grown size and samples": (
        "--grow_size=16,24",
        "--grow_samples=4,all",
        "--augment=basic",
    ),
    "sgd, EMA, shrink_perturb, grown classes": (
        "--optimizer=sgd",
        "--lr=0.05",
        "--grow_size=16,24",
        "--grow_classes=2,all",
        "--stage_restart=shrink_perturb",
        "--ema=0.9",
    ),
    "rate found per stage, strong augmentation, mixing": (
        "--lr=auto:stage",
        "--grow_size=16,24",
        "--augment=strong",
        "--grow_augment=0.5,1",
        "--mixup=0.3",
        "--cutmix=0.3",
    ),
    "oversampling, jittered sizes, momentum restart, EMA": (
        "--grow_size=16",
        "--size_jitter=1.0,1.5",
        "--balance=oversample",
        "--stage_restart=momentum",
        "--ema=0.99",
        "--schedule=sgdr",
    ),
}
# What a negative control leaves out -> the options under which that shows.
CONTROLS = {
    "data position": 0,
    "optimizer": 0,
    "metric sums": 0,
    "average": 1,
}


def make_images(root: pathlib.Path) -> None:
    """Three classes of unequal size, noise around a color of their own."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for name, color, count in (("a", 60, 24), ("b", 120, 18), ("c", 200, 12)):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise = generator.normal(color, 40, (24, 24, 3)).clip(0, 255)
            picture = Image.fromarray(noise.astype(np.uint8))
            picture.save(root / name / f"{index}.png")


def die(delay: float = 0.0) -> None:
    """Kills this process, at once or after `delay` seconds."""
    if delay:
        threading.Timer(delay, die).start()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def arm(kind: str, count: int, delay: float, workdir: pathlib.Path) -> None:
    """Has this process kill itself; to be called before it trains.

    Args:
      kind: of KINDS, but for `moment`.
      count: of the operations on files, or boundaries, that come before.
      delay: seconds from there.
      workdir: of the run.
    """
    from smartgrowth.runs import files
    from smartgrowth.runtime import scratch
    from smartgrowth.training import learner

    left = count
    if kind == "boundary":
        begin = learner.Learner.begin

        def begin_and_die(self, stage):
            nonlocal left
            left -= 1
            if left < 0:
                die(delay)
            begin(self, stage)

        learner.Learner.begin = begin_and_die
        return
    results = (files.MODEL, files.PREDICTIONS, files.METRICS, files.REPORT)
    waits = kind == "results"  # for the first of them

    def watch(event: str, arguments: tuple) -> None:
        nonlocal left, waits
        if not event.startswith(("open", "os.", "shutil.")):
            return
        paths = [a for a in arguments if isinstance(a, str | os.PathLike)]
        ours = [
            p
            for p in map(os.fspath, paths)
            if str(p).startswith(str(workdir)) or scratch.PREFIX in str(p)
        ]
        if not ours:
            return
        if waits and not any(name in str(p) for p in ours for name in results):
            return
        waits = False
        left -= 1
        if left == -1:
            die(delay)

    sys.addaudithook(watch)


def leave_out(part: str) -> None:
    """Has this process resume without a part of the state.

    Args:
      part: of CONTROLS.
    """
    from smartgrowth.runs import checkpoint
    from smartgrowth.training import checkpointing, learner

    if part == "data position":
        make = learner.stage_batches

        def from_the_stage_s_start(experiment, stage, augmentation):
            batches = make(experiment, stage, augmentation)
            start = stage.first_step
            return lambda first, last: batches(start, start + last - first)

        learner.stage_batches = from_the_stage_s_start
    elif part == "metric sums":
        checkpointing.CheckpointManager.restore_metrics = lambda self: None
    else:
        restore = checkpoint.restore

        def is_left_out(name: str) -> bool:
            average = "average" in name
            slot = not average and "iteration" not in name
            return average if part == "average" else slot

        def restore_the_rest(groups, arrays):
            values = [np.array(v) for v in groups.get("optimizer", ())]
            restore(groups, arrays)
            for variable, value in zip(
                groups.get("optimizer", ()), values, strict=True
            ):
                if is_left_out(variable.path):
                    variable.assign(value)

        checkpoint.restore = restore_the_rest


class Trainer:
    """Starts trainings as processes of their own.

    Args:
      folder: for their data and logs.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        make_images(folder / "images")

    def start(self, workdir: pathlib.Path, options, prepare=None) -> int:
        """Returns the number of a new process that trains.

        Args:
          workdir: of its run.
          options: flags besides COMMON.
          prepare: called in that process before it trains.
        """
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        status = 70
        try:
            status = self._train(workdir, options, prepare)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _train(self, workdir, options, prepare) -> int:
        log = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        from absl import flags

        from smartgrowth import command_line, main
        from smartgrowth.comparison.settings import Comparison
        from smartgrowth.config import Config

        command_line.define_flags(flags.FLAGS, Config, Comparison)
        rest = flags.FLAGS(
            [
                "smartgrowth",
                f"--workdir={workdir}",
                f"--dataset=folder:{self.folder / 'images'}",
                f"--cache_dir={self.folder / 'cache'}",
                *COMMON,
                *options,
            ]
        )
        if prepare:
            prepare()
        return main.main(rest)

    def run(self, workdir: pathlib.Path, options, prepare=None) -> float:
        """Trains to the end; returns the seconds that it took.

        Raises:
          SystemExit: it failed; with what it printed.
        """
        began = time.monotonic()
        status = wait(self.start(workdir, options, prepare))
        if status != 0:
            log = pathlib.Path(f"{workdir}.log").read_text("utf-8")
            raise SystemExit(f"{workdir} ended with {status}:\n{log[-3000:]}")
        return time.monotonic() - began


def wait(process: int, seconds: float | None = None) -> int | None:
    """Returns a process' exit status; None if it still runs after `seconds`."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(process, 0 if end is None else os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.005)


def read_end(workdir: pathlib.Path) -> dict[str, np.ndarray | str]:
    """Returns all that must be the same at a run's end, by name."""
    import h5py

    from smartgrowth.runs import files

    end = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            end[f"weights {name}"] = np.array(item)

    with (
        zipfile.ZipFile(workdir / files.MODEL) as archive,
        archive.open("model.weights.h5") as stream,
        h5py.File(stream) as weights,
    ):
        weights.visititems(keep)
    with np.load(workdir / files.PREDICTIONS) as arrays:
        end |= {f"predictions {name}": arrays[name] for name in arrays}
    manifests = sorted((workdir / files.CHECKPOINTS).glob("*.json"))
    kinds = {"best": [], "newest": []}
    for path in manifests:
        manifest = json.loads(path.read_text("utf-8"))
        kinds["newest"].append(manifest)
        if manifest["best"]:
            kinds["best"].append(manifest)
    for kind, found in kinds.items():
        last = max(found, key=lambda manifest: manifest["facts"]["step"])
        end[f"{kind} step"] = str(last["facts"]["step"])
        archive = workdir / files.CHECKPOINTS / last["archive"]
        with np.load(archive) as arrays:
            end |= {f"{kind} {name}": arrays[name] for name in arrays}
    rows = (workdir / files.LOG).read_text("utf-8").splitlines()
    columns = rows[0].split(",")
    for row in rows[1:]:
        values = dict(zip(columns, row.split(","), strict=True))
        for name, value in values.items():
            if not name.endswith("seconds"):
                end[f"log {values['step']} {name}"] = value
    return end


def differences(whole: dict, other: dict) -> list[str]:
    """Returns the names of what is not equal to the last bit."""
    names = sorted(set(whole) | set(other))
    return [
        name
        for name in names
        if name not in whole
        or name not in other
        or not np.array_equal(whole[name], other[name])
    ]


def torture(
    trainer: Trainer,
    whole: dict,
    seconds: float,
    options: Sequence[str],
    kills: int,
    seed: int,
) -> dict[str, int]:
    """Kills runs until they were killed `kills` times; compares their ends.

    Args:
      whole: `read_end` of the undisturbed run, which took `seconds`.

    Returns:
      How often a process was killed, by kind, and how many runs ended.

    Raises:
      SystemExit: one ended differently, or did not end.
    """
    dice = random.Random(seed)
    counts = dict.fromkeys(KINDS, 0) | {"runs": 0}
    done = 0
    while done < kills:
        workdir = trainer.folder / f"killed_{seed}_{counts['runs']}"
        of_run = 0
        while of_run < KILLS_PER_RUN and done < kills:
            kind = KINDS[dice.randrange(len(KINDS))]
            count = {
                "write": dice.randrange(400),
                "boundary": dice.randrange(2),
                "results": dice.randrange(60),
            }.get(kind, 0)
            delay = dice.choice((0.0, dice.uniform(0, 0.02)))
            if kind == "boundary":
                delay = dice.uniform(0, 1.5)
            prepare = None
            if kind != "moment":
                prepare = partial(arm, kind, count, delay, workdir)
            process = trainer.start(workdir, options, prepare)
            limit = dice.uniform(0, seconds) if kind == "moment" else 600
            status = wait(process, limit)
            if status is None:
                os.kill(process, signal.SIGKILL)
                status = wait(process)
            if status == 0:  # it ended before the moment came
                break
            if status != -signal.SIGKILL:
                log = pathlib.Path(f"{workdir}.log").read_text("utf-8")
                raise SystemExit(f"{workdir}: {status}\n{log[-3000:]}")
            counts[kind] += 1
            of_run += 1
            done += 1
        trainer.run(workdir, options)
        counts["runs"] += 1
        changed = differences(whole, read_end(workdir))
        if changed:
            raise SystemExit(
                f"{workdir} ended differently in {len(changed)} values: "
                f"{', '.join(changed[:5])}"
            )
    return counts


def check_controls(trainer: Trainer, ends: list[dict]) -> dict[str, int]:
    """Returns the number of values that each negative control changed.

    Args:
      ends: `read_end` of the undisturbed run of each of OPTIONS.

    Raises:
      SystemExit: one changed nothing.
    """
    changed = {}
    for part, index in CONTROLS.items():
        options = list(OPTIONS.values())[index]
        workdir = trainer.folder / f"without_{part.replace(' ', '_')}"
        # Within the second stage's first segment, whose sums have begun.
        prepare = partial(die_at_step, 14)
        status = wait(trainer.start(workdir, options, prepare))
        if status != -signal.SIGKILL:
            raise SystemExit(f"{workdir}: {status}, not killed")
        trainer.run(workdir, options, partial(leave_out, part))
        changed[part] = len(differences(ends[index], read_end(workdir)))
        if not changed[part]:
            raise SystemExit(f"a resume without its {part} changed nothing")
    return changed


def die_at_step(step: int) -> None:
    """Has this process die when the checkpoint of a step is complete."""
    from smartgrowth.runs import checkpoint

    save = checkpoint.save

    def save_and_die(directory, arrays, facts, **how):
        save(directory, arrays, facts, **how)
        if facts["step"] >= step:
            die()

    checkpoint.save = save_and_die


def main_of_engine(kills: int, seed: int, cases: int, controls: bool) -> dict:
    """Does it all for the engine of KERAS_BACKEND; returns the figures."""
    # What the trainings would import, each anew.
    from smartgrowth.evaluation import evaluate_run  # noqa: F401
    from smartgrowth.report import write  # noqa: F401
    from smartgrowth.runtime import backend
    from smartgrowth.training import train  # noqa: F401

    backend.import_backend()
    began = time.monotonic()
    figures, ends = {"kills": dict.fromkeys((*KINDS, "runs"), 0)}, []
    with tempfile.TemporaryDirectory(prefix="smartgrowth_torture_") as folder:
        trainer = Trainer(pathlib.Path(folder))
        chosen = list(OPTIONS.items())[:cases]
        for index, (name, options) in enumerate(chosen):
            workdir = trainer.folder / f"whole_{index}"
            trainer.run(workdir, options)  # stores the images as well
            seconds = trainer.run(trainer.folder / f"again_{index}", options)
            ends.append(read_end(workdir))
            share = kills * (index + 1) // cases - kills * index // cases
            counts = torture(
                trainer, ends[-1], seconds, options, share, 1000 * seed + index
            )
            for kind, count in counts.items():
                figures["kills"][kind] += count
            print(
                f"{os.environ['KERAS_BACKEND']}: {name}: {share} kills, "
                f"{counts['runs']} runs, {len(ends[-1])} values equal, "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
        if controls:
            figures["controls"] = check_controls(trainer, ends)
    figures["seconds"] = round(time.monotonic() - began)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="on all engines")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cases", type=int, default=len(OPTIONS))
    parser.add_argument("--no_controls", action="store_true")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        figures = main_of_engine(
            given.kills, given.seed, given.cases, not given.no_controls
        )
        print(json.dumps(figures))
        return
    engines = given.engines.split(",")
    figures = {}
    # JAX would compile the same step anew in every process.
    folder = tempfile.TemporaryDirectory(prefix="smartgrowth_jax_")
    cache = {
        "JAX_COMPILATION_CACHE_DIR": folder.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for index, engine in enumerate(engines):
        share = given.kills * (index + 1) // len(engines)
        share -= given.kills * index // len(engines)
        command = [sys.executable, __file__, *sys.argv[1:]]
        command += [f"--engine={engine}", f"--kills={share}"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"KERAS_BACKEND": engine} | cache,
        )
        for line in process.stdout:
            if line.startswith("{"):
                figures[engine] = json.loads(line)
            else:
                print(line, end="", flush=True)
        if process.wait():
            raise SystemExit(process.returncode)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
