"""A trial's process, on a worker of a cluster: what its task does there.

The run directory, on a file system that all share, is the only truth: whether
the run is finished, how far it has come, and who trains it. Nothing here asks
the scheduler for anything but whether to stop.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from smartgrowth import __version__
from smartgrowth.comparison.jobs import note_sharing, start_process
from smartgrowth.runs import files
from smartgrowth.runs.directory import find_plan, is_finished
from smartgrowth.runs.owner import (
    State,
    System,
    judge,
    read_owner,
    silence_of,
)

TASK = "task.json"  # which comparison's task trains a run, or did last
VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK_SECONDS = 1.0
STOPPED = 130  # the exit status of a run that was asked to stop, and saved

_taken: set[str] = set()  # GPUs of this worker that a process of it sees
_lock = threading.Lock()


class ProcessKilled(Exception):
    """A trial's process was killed; another one may go on with its run."""


def introduce(path: str) -> tuple[str, str]:
    """Returns a worker's version of this package, and what it reads at a path.

    "" if there is nothing.
    """
    try:
        return __version__, pathlib.Path(path).read_text()
    except OSError:
        return __version__, ""


def run_task(settings: dict, has_gpus: bool) -> int:
    """Trains a run on the worker that has the task: `train`.

    Args:
      settings: its arguments.
      has_gpus: whether workers have declared GPUs.
    """
    import dask
    import distributed

    own = distributed.get_worker()
    event = distributed.Event(f"stop-{settings['session']}")

    def stops() -> bool:
        try:
            return event.is_set()
        except Exception:  # one question that failed stops nothing
            return False

    # What Dask has set for its own process, a run has not.
    made = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONHASHSEED" and str(made.get(name)) != value
    }
    gpus = int(own.state.total_resources.get("GPU", 0)) if has_gpus else 0
    return train(**settings, gpus=gpus, stops=stops, environment=environment)


def train(
    lines: Sequence[str],
    directory: str,
    folder: str,
    session: str,
    plan: str,
    gpus: int,
    stops: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "smartgrowth.main"),
) -> int:
    """Trains a run in a process, unless it is finished; returns its status.

    A process that trains it already is waited for, if another comparison
    started it. One that this comparison started is of a worker that was lost:
    the run is taken from it, and the lease stops it at its next write.

    Args:
      lines: flags of the run.
      directory: of the run.
      folder: in which the command is given.
      session: of the comparison, another one for each call.
      plan: its hash.
      gpus: how many this worker has for its runs, 0 if it declared none.
      stops: whether to save and stop.
      environment: of the process; this one's unless given.
      program: arguments of Python.

    Raises:
      ProcessKilled: a signal ended it, which nobody here sent.
    """
    run, lines = pathlib.Path(folder, directory), list(lines)
    again = read_task(run).get("session") == session
    while True:
        while not again and _is_trained(run):
            if stops():
                return STOPPED
            time.sleep(LOOK_SECONDS)
        if again and (find_plan(run) or {}).get("hash") == plan:
            # What --restart was to delete is deleted.
            lines = [line for line in lines if line != "--restart=true"]
        if is_finished(run) and "--restart=true" not in lines:
            return 0
        command = [sys.executable, *program, *lines]
        if again:
            command.append("--take_over")
        run.mkdir(parents=True, exist_ok=True)
        note_sharing(run, "other workers of a cluster")
        files.write_json(run / TASK, {"session": session})
        gpu, environment = _take_gpu(gpus), dict(environment or os.environ)
        try:
            if gpu is not None:
                environment[VISIBLE] = gpu
            process = start_process(command, run, environment, cwd=folder)
            code = _await(process, stops)
        finally:
            _taken.discard(gpu)
        if not code or is_finished(run) or not _is_trained(run) or stops():
            return code
        again = False  # another process had only just begun with it


def _await(process: subprocess.Popen, stops: Callable[[], bool]) -> int:
    stopped = False
    try:
        while True:
            try:
                code = process.wait(LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if not stopped and stops():
                    process.terminate()
                    stopped = True
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if not stopped and (code < 0 or code == STOPPED):
        raise ProcessKilled(f"exit status {code}")
    return code


def _is_trained(run: pathlib.Path) -> bool:
    """Returns whether a process trains in a directory, as far as is known.

    One of another machine is asked for signs of life, in its files.
    """
    owner, system = read_owner(run), System()
    silence = silence_of(run, owner, system) if owner else 0.0
    # No lock is asked: it says nothing of another machine's processes.
    return judge(owner, None, silence, system) in (State.ALIVE, State.UNKNOWN)


def read_task(run: pathlib.Path) -> dict:
    """Returns what `TASK` says of a run; {} if nothing."""
    try:
        return json.loads((run / TASK).read_bytes())
    except (OSError, ValueError):
        return {}


def _take_gpu(count: int) -> str | None:
    """Returns a GPU of this worker that no process of it sees; None without.

    Of the first `count` that it sees itself: dask-cuda shows every worker all,
    its own first.
    """
    if not count:
        return None
    listed = os.environ.get(VISIBLE, "")
    names = [name for name in listed.split(",") if name]
    names = (names or [str(number) for number in range(count)])[:count]
    with _lock:
        free = [name for name in names if name not in _taken]
        chosen = (free or names)[0]
        _taken.add(chosen)
    return chosen
