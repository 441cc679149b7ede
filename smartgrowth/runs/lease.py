"""Who trains in a run directory: one process at a time.

lease.json names the owner. It is written when a process takes the run and when
it gives it back, and by nobody in between; its number grows by one at every
taking. That the owner lives shows in its process, in a lock, or, from another
machine, in lease_beat.txt, which changes every minute. Before each write the
owner reads lease.json: if another process has taken the run, it stops. So
whoever judges wrongly that an owner is dead spoils nothing.
"""

import contextlib
import json
import os
import pathlib
import threading
import time

from smartgrowth import UserError
from smartgrowth.rendering.text import show
from smartgrowth.runs import files
from smartgrowth.runs.owner import (
    HELD,
    Owner,
    State,
    System,
    look,
    read_owner,
    read_signs,
    silence_of,
)
from smartgrowth.runtime.file_lock import FileLock
from smartgrowth.runtime.reporter import REPORTER, say

BEAT_SECONDS = 60
WATCH_SECONDS = 150  # two beats, and some delay of a drive
LOOK_SECONDS = 5  # between two looks at a beat
GRACE_SECONDS = 3  # for a process that is just ending


class Lease:
    """The right of one process to write to a run directory.

    To be entered before the first write; given back at the exit.

    Args:
      directory: of the run; made when it is entered.
      plan_hash: of the plan that this process trains.
      take_over: take the run from a process that lives, too.
      system: what it asks the machine.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        plan_hash: str,
        take_over: bool = False,
        system: System | None = None,
    ):
        self.directory, self.plan_hash = directory, plan_hash
        self.take_over, self.system = take_over, system or System()
        self.own: Owner | None = None  # while this process has the run
        self._lock = FileLock(directory / files.LEASE_LOCK)
        self._ended = threading.Event()

    def refuse_early(self) -> None:
        """Raises `UserError` if `__enter__` is sure to; changes nothing."""
        if (self.directory / files.LEASE).exists() and not self.take_over:
            with contextlib.suppress(OSError):
                self._settle()
            self._lock.release()

    def __enter__(self) -> "Lease":
        """Takes the run; waits if it must watch whether its owner lives.

        Raises:
          UserError: another process trains it, or it cannot be written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            previous = self._await_turn()
            self.own = Owner(
                self.system.process,
                number=previous.number + 1 if previous else 1,
                token=os.urandom(8).hex(),
                plan=self.plan_hash,
                since=self.system.clock(),
            )
            self._write()
        except OSError as error:
            self._lock.release()
            raise UserError(
                f"--workdir={self.directory}: {error.strerror or error}; name "
                "a folder that can be written"
            ) from error
        except BaseException:
            self._lock.release()
            raise
        HELD.add(self.own.token)
        # A new one each time: an earlier one may still be asleep.
        self._ended = threading.Event()
        threading.Thread(
            target=self._keep_beating,
            args=(self._ended, self.own.token),
            daemon=True,
        ).start()
        return self

    def __exit__(self, *error) -> None:
        """Gives the run back, so that the next process begins at once."""
        self._ended.set()
        # A disk that refuses it now has the next process look at this one.
        with contextlib.suppress(OSError):
            found = read_owner(self.directory)
            if found and found.token == self.own.token:
                self.own.released = True
                files.write_json(
                    self.directory / files.LEASE, self.own.to_json()
                )
                (self.directory / files.LEASE_BEAT).unlink(missing_ok=True)
        HELD.discard(self.own.token)
        self._lock.release()
        self.own = None

    def check(self) -> None:
        """Makes sure that the run is still this process's, before a write.

        Claims it again where the whole directory was deleted. Does nothing in
        a process that never took it.

        Raises:
          UserError: another process has taken it.
          OSError: the directory cannot be read.
        """
        if self.own is None:
            return
        found = read_owner(self.directory)
        is_whole = found is not None and bool(found.token)
        if is_whole and found.taking != self.own.taking:
            raise self._lost(f"{found.words} has taken it over")
        plan = _plan_hash(self.directory)
        if plan is not None and plan != self.plan_hash:
            raise self._lost(f"its {files.PLAN} is another run's now")
        if not is_whole:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._write()

    def _lost(self, why: str) -> UserError:
        return UserError(
            f"--workdir={self.directory}: {why}; this process stops, and "
            "writes nothing more there"
        )

    def _write(self) -> None:
        files.write_json(self.directory / files.LEASE, self.own.to_json())
        self._beat(self.own.token, 0)

    def _beat(self, token: str, number: int) -> None:
        # Not atomically: whoever looks asks whether it changed, and a drive
        # counts operations.
        text = f"{token} {number} {self.system.clock():.0f}\n"
        (self.directory / files.LEASE_BEAT).write_text(text, "utf-8")

    def _keep_beating(self, ended: threading.Event, token: str) -> None:
        """Beats until it has ended, or the run is another process's."""
        number = 0
        while not ended.wait(BEAT_SECONDS):
            number += 1
            with contextlib.suppress(OSError):
                found = read_owner(self.directory)
                if found is None or not found.token:
                    continue  # `check` decides what that means
                if found.token != token:
                    return
                self._beat(token, number)

    def _await_turn(self) -> Owner | None:
        """Returns the owner before, once this process may take the run."""
        if self.take_over:
            if self._lock.acquire() is False:
                self._lock.steal()
            owner = read_owner(self.directory)
            if owner and not owner.released:
                say(f"--take_over: takes the run from {owner.words}")
            return owner
        owner, state = self._settle()
        if state is State.FREE:
            return owner
        why = "which has ended without giving it back"
        if state is not State.DEAD:
            silence = WATCH_SECONDS
            if state is State.SILENT:
                silence = silence_of(self.directory, owner, self.system)
            elif self._watch(owner):
                return owner
            why = f"which shows no sign of life for {show('seconds', silence)}"
        say(f"takes over the run of {owner.words}, {why}")
        return owner

    def _settle(self) -> tuple[Owner | None, State]:
        """Returns the owner and what is known of it, unless it lives.

        Raises:
          UserError: it lives, still after some seconds.
        """
        began = self.system.clock()
        while True:
            owner, state = look(self.directory, self._lock, self.system)
            if state is not State.ALIVE:
                return owner, state
            if self.system.clock() - began >= GRACE_SECONDS:
                raise self._refusal(owner)
            self.system.sleep(0.5)

    def _watch(self, owner: Owner) -> bool:
        """Waits whether a process of another machine gives a sign of life.

        Returns:
          Whether it gave the run back meanwhile.

        Raises:
          UserError: it lives.
        """
        before = read_signs(self.directory)
        say(
            f"{owner.words} may be training the run in {self.directory}: "
            f"watches for up to {show('seconds', WATCH_SECONDS)} whether it "
            "still lives"
        )
        began = self.system.clock()
        while (spent := self.system.clock() - began) < WATCH_SECONDS:
            REPORTER.progress(
                f"  no sign of life for {show('seconds', spent)} of "
                f"{show('seconds', WATCH_SECONDS)}"
            )
            self.system.sleep(LOOK_SECONDS)
            now = read_signs(self.directory)
            if now == before:
                continue
            current = read_owner(self.directory)
            if current and current.released:
                return True
            raise self._refusal(current or owner)
        return False

    def _refusal(self, owner: Owner | None) -> UserError:
        who = "another process"
        if (
            owner
            and owner.token
            and not owner.released
            and self.system.is_alive(owner.process) is not False
        ):
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(owner.since))
            who = f"{owner.words}, since {since}"
        return UserError(
            f"--workdir={self.directory} is being trained by {who}; wait for "
            "it to end, name another --workdir, stop that process, or give "
            "--take_over, which takes the run from it"
        )


def _plan_hash(directory: pathlib.Path) -> str | None:
    """Returns the hash in plan.json; None if it is missing or torn."""
    try:
        return json.loads((directory / files.PLAN).read_bytes())["hash"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (TypeError, ValueError, LookupError):
        return None
