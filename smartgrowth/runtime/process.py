"""Who a process is, so that another one can tell whether it still lives.

A number alone does not say: it is given again, and another machine or
container has the same. Imports nothing slow.
"""

import dataclasses
import os
import pathlib
import platform
import uuid


@dataclasses.dataclass(frozen=True)
class Process:
    """A process, on any machine.

    host: the machine's name, for people. place: where its number counts, a
    boot of a machine and a container of it. pid: its number. started: when,
    in the machine's own measure; "" if that is not known.
    """

    host: str
    place: str
    pid: int
    started: str


def this_process() -> Process:
    """Returns what this process is."""
    pid = os.getpid()
    return Process(platform.node(), _place(), pid, _state_and_start(pid)[1])


def is_alive(process: Process) -> bool | None:
    """Returns whether a process lives; None if that cannot be told from here.

    It cannot of another machine or container. A process that is stopped lives.
    """
    if process.place != _place():
        return None
    if os.name == "posix" and not has_number(process.pid):
        return False
    state, started = _state_and_start(process.pid)
    if not (started and process.started):
        return None
    return started == process.started and state not in "ZX"


def has_number(pid: int) -> bool:
    """Returns whether any process here has a number. For POSIX only.

    Elsewhere, to ask for a process may end it.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # someone else's
    return True


def _place() -> str:
    """Returns what all processes share whose numbers can be compared."""
    try:
        kernel = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = pathlib.Path("/proc/self/ns/pid").readlink()
        return f"{kernel.strip()} {numbers}"
    except OSError:
        return f"{platform.node()} {uuid.getnode():012x}"


def _state_and_start(pid: int) -> tuple[str, str]:
    """Returns a process's state, a letter, and its start; "" if unknown."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", ""
    # Its name, in parentheses, may hold anything.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]
