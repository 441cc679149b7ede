"""The owner of a run directory, and whether another process may follow it.

Reads lease.json and what shows that its owner lives; `lease` writes them.
"""

import dataclasses
import enum
import json
import pathlib
import time
from collections.abc import Callable

from smartgrowth import UserError
from smartgrowth.runs import files
from smartgrowth.runtime.file_lock import FileLock
from smartgrowth.runtime.process import Process, is_alive, this_process

SILENT_SECONDS = 300  # without a beat, which comes every minute
# Tokens of what this process owns. It may outlive a run that its disk refused
# to let it give back, as a notebook does.
HELD: set[str] = set()


@dataclasses.dataclass
class Owner:
    """What lease.json says.

    process: that took the run. number: of the taking, from 1. token: at
    random; "" if the file is torn. plan: hash of its plan. since: of the
    taking, in seconds since 1970 by its own clock. released: whether it gave
    the run back.
    """

    process: Process
    number: int
    token: str
    plan: str
    since: float
    released: bool = False

    @property
    def words(self) -> str:
        """Which process it is, in words."""
        if not self.token:
            return "an unknown process (its lease.json is torn)"
        return f"process {self.process.pid} on {self.process.host}"

    @property
    def taking(self) -> tuple[int, str]:
        """What no other taking of the directory shares."""
        return self.number, self.token

    def to_json(self) -> dict:
        """Returns it as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "Owner":
        """Raises `TypeError`, `ValueError` or `LookupError` if it is none."""
        owner = cls(**values | {"process": Process(**values["process"])})
        for part in (owner, owner.process):
            for field in dataclasses.fields(part):
                value = getattr(part, field.name)
                kind = (float, int) if field.type is float else field.type
                if not isinstance(value, kind):
                    raise ValueError(f"{field.name} is {value!r}")
        if not owner.token:
            raise ValueError("it has no token")
        return owner

    @classmethod
    def unknown(cls) -> "Owner":
        """Returns the owner that a torn file leaves."""
        return cls(Process("", "", 0, ""), 0, "", "", 0.0)


class State(enum.Enum):
    """What is known of an owner."""

    FREE = "there is none, or it gave the run back"
    DEAD = "its process has ended"
    ALIVE = "its process lives"
    SILENT = "it has shown no sign of life for long"
    UNKNOWN = "it may live: only watching will tell"


@dataclasses.dataclass
class System:
    """What a lease asks the machine.

    process: this one. is_alive: of another; None if that cannot be told.
    clock: seconds since 1970. sleep: waits for seconds.
    """

    process: Process = dataclasses.field(default_factory=this_process)
    is_alive: Callable[[Process], bool | None] = is_alive
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def judge(
    owner: Owner | None, locked: bool | None, silence: float, system: System
) -> State:
    """Returns what is known of an owner.

    Args:
      owner: None if there never was one.
      locked: whether this process has the lock; False: another process has
        it, on this machine or one that shares its locks; None: no locks here.
      silence: seconds since the owner's last sign of life, by this machine's
        clock, which may differ from the owner's.
      system: the machine.
    """
    if locked is False:
        return State.ALIVE  # the owner, or who is just following it
    if owner is None or owner.released:
        return State.FREE
    alive = _lives(owner, system)
    is_near = owner.process.place == system.process.place
    if alive is None and locked and is_near:
        alive = False  # or the lock would not be free
    if alive is not None:
        return State.ALIVE if alive else State.DEAD
    return State.SILENT if silence > SILENT_SECONDS else State.UNKNOWN


def _lives(owner: Owner, system: System) -> bool | None:
    """Returns whether an owner still trains; None if that is unknown."""
    if owner.process == system.process:
        return owner.token in HELD
    return system.is_alive(owner.process)


def look(
    directory: pathlib.Path, lock: FileLock, system: System
) -> tuple[Owner | None, State]:
    """Returns a run's owner, if it ever had one, and what is known of it.

    Takes the lock if it is free.

    Raises:
      OSError: the directory cannot be read, or the lock cannot be made.
    """
    lock.acquire()
    owner = read_owner(directory)
    silence = silence_of(directory, owner, system) if owner else 0.0
    return owner, judge(owner, lock.held, silence, system)


def is_trained(directory: pathlib.Path) -> bool:
    """Returns whether a process is sure to train in a directory now."""
    lock, system = FileLock(directory / files.LEASE_LOCK), System()
    try:
        owner = read_owner(directory)
        if owner is None or owner.released:
            return False
        alive = _lives(owner, system)
        if alive is None:  # the lock may say; no process needs it for long
            alive = look(directory, lock, system)[1] is State.ALIVE
        return alive
    except OSError:
        return False
    finally:
        lock.release()


def read_owner(directory: pathlib.Path) -> Owner | None:
    """Returns what lease.json says; None if it is not there.

    Of a torn one an owner without a token, of which nothing is known.

    Raises:
      OSError: it cannot be read.
    """
    try:
        content = (directory / files.LEASE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Owner.from_json(json.loads(content))
    except (TypeError, ValueError, LookupError):
        return Owner.unknown()


def check_untaken(directory: pathlib.Path, before: Owner | None) -> None:
    """Makes sure that no process took a finished run to train it again.

    For who writes into a finished run, which needs no lease: nobody trains it.

    Args:
      directory: of the run.
      before: its `read_owner` when it was read.

    Raises:
      UserError: its owner is another one now.
    """
    if read_owner(directory) != before:
        raise UserError(
            f"--workdir={directory}: another process has begun to train in it "
            "since this one read it; nothing was written there"
        )


def read_signs(directory: pathlib.Path) -> list[bytes | None]:
    """Returns what changes while an owner lives."""
    found = []
    for name in (files.LEASE, files.LEASE_BEAT):
        try:
            found.append((directory / name).read_bytes())
        except OSError:
            found.append(None)
    return found


def silence_of(directory: pathlib.Path, owner: Owner, system: System) -> float:
    """Returns the seconds since the last sign of life, by this clock."""
    beat = read_signs(directory)[1] or b""
    try:
        last = float(beat.split()[2])
    except (IndexError, ValueError):
        last = 0.0
    return system.clock() - max(last, owner.since)
