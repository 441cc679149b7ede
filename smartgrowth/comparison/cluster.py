"""Trials as tasks of a Dask cluster: `--cluster`.

Each task starts the program as a process on its worker (`worker.train`). Dask
gives the task of a worker that is lost to another one.
"""

import contextlib
import logging
import pathlib
import signal
import threading
import time
import uuid
from collections.abc import Sequence

from smartgrowth import UserError, __version__
from smartgrowth.comparison import worker
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.jobs import Job, Pool
from smartgrowth.runs import files
from smartgrowth.runtime.reporter import Reporter, say

LOCAL = "local:"  # in --cluster, before a number of workers
TOKEN = "cluster.txt"  # by which a worker shows that it sees the same folder
CONNECT_SECONDS = 10
# Without a worker that can take a task, a comparison waits so long for one.
WAIT_SECONDS = 60
INFO_SECONDS = 1.0  # between two questions to the scheduler
RETRIES = 2  # of a process that was killed
STOP_SECONDS = 300  # for all that is trained to be saved
ARRIVAL_SECONDS = 120  # for a network folder to show what a worker wrote


class ClusterJob(Job):
    """A trial's task."""

    def __init__(self, trial: Trial, future, pool: "ClusterPool"):
        super().__init__(trial)
        self.future, self.pool = future, pool
        self.seen = False
        self.over = None  # when its task was, if its files are not here yet

    @property
    def started(self) -> bool:
        # As far as its files show: no scheduler is asked.
        if not self.seen:
            task = worker.read_task(self.trial.directory)
            self.seen = task.get("session") == self.pool.session
            self.began = time.monotonic()
        return self.seen

    def poll(self, reporter: Reporter) -> int | None:
        """Returns the exit status of its process, None before its end.

        Raises:
          UserError: the scheduler is gone.
        """
        if not self.future.done():
            return None
        if self.future.status == "cancelled":
            raise self.pool.lost()
        if self.future.status == "error":
            reporter.say(f"{self.trial.name}: {self.future.exception()}")
            return 1
        try:
            code = self.future.result(timeout=CONNECT_SECONDS)
        except TimeoutError:
            return None  # its worker has just left: it is asked again
        if code or self.trial.finished:
            return code
        self.over = self.over or time.monotonic()
        waited = time.monotonic() - self.over
        return code if waited > ARRIVAL_SECONDS else None

    def stop(self) -> None:
        """Nothing: the pool's event stops all of them."""

    def wait(self) -> None:
        left = self.pool.deadline - time.monotonic()
        with contextlib.suppress(Exception):
            self.future.result(timeout=max(left, 0.01))


class ClusterPool(Pool):
    """The workers of a cluster.

    Args:
      address: of a scheduler, or local:N for N workers on this machine.
      folder: of the comparison, which all must see; exists.
      program: arguments of Python, before the flags of a trial.

    Raises:
      UserError: Dask is not installed.
    """

    def __init__(
        self,
        address: str,
        folder: pathlib.Path,
        program: Sequence[str] = ("-m", "smartgrowth.main"),
    ):
        try:
            import distributed
        except ImportError:
            raise UserError(
                f"--cluster={address}: the package distributed is not "
                "installed; pip install 'smartgrowth[cluster]'"
            ) from None
        self.dask, self.address = distributed, address
        self.folder, self.program = folder, tuple(program)
        self.session = uuid.uuid4().hex
        self.workers: dict[str, dict] = {}  # as the scheduler describes them
        self.checked: set[str] = set()  # their addresses
        self.has_gpus = False  # once any has declared some, only such get runs
        self.asked, self.lacked = -float("inf"), None
        self.deadline = float("inf")
        self.local = None

    def __enter__(self) -> "ClusterPool":
        """Connects to the cluster, and waits for its first worker.

        Raises:
          UserError: nothing answers there, no worker joins, or one cannot
            train for this machine.
        """
        logging.getLogger("distributed").setLevel(logging.ERROR)
        address = self.address
        try:
            if address.startswith(LOCAL):
                self.local = address = self._start_local()
            self.client = self.dask.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except Exception as error:
            self._close_local()
            raise UserError(
                f"--cluster={self.address}: no scheduler answers there within "
                f"{CONNECT_SECONDS} s ({str(error) or type(error).__name__}); "
                "start one with: dask scheduler"
            ) from error
        try:
            files.write_text(self.folder / TOKEN, self.session)
            self.stop_event = self.dask.Event(
                f"stop-{self.session}", client=self.client
            )
            while not self.capacity:
                time.sleep(0.1)
        except BaseException:
            self.__exit__()
            raise
        say(f"{self.address}: {len(self.workers)} workers")
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(Exception):
            self.client.close()
        self._close_local()

    @property
    def capacity(self) -> int:
        """Tasks that the workers can run at once.

        Raises:
          UserError: the scheduler is gone, or there has been no worker for
            `WAIT_SECONDS`.
        """
        now = time.monotonic()
        if now - self.asked >= INFO_SECONDS or not self.workers:
            self.asked = now
            self._ask()
        slots = sum(map(self._slots_of, self.workers.values()))
        if slots:
            self.lacked = None
            return slots
        self.lacked = self.lacked or now
        if now - self.lacked > WAIT_SECONDS:
            raise UserError(
                f"--cluster={self.address}: no worker has joined for "
                f"{WAIT_SECONDS} s; start one with: dask worker ADDRESS "
                "--nthreads=1" + " --resources GPU=1" * self.has_gpus
            )
        return 0

    def lost(self) -> UserError:
        """Returns the error of a scheduler that is gone."""
        return UserError(
            f"--cluster={self.address}: the scheduler is gone; what is being "
            "trained goes on, and the same command, with a scheduler, takes it "
            "up"
        )

    def start(self, trial: Trial) -> ClusterJob:
        """Submits a trial's task."""
        future = self.client.submit(
            worker.run_task,
            {
                "lines": trial.config.flag_lines(),
                "directory": str(trial.directory),
                "folder": str(pathlib.Path.cwd()),
                "session": self.session,
                "plan": trial.description["hash"],
                "program": self.program,
            },
            self.has_gpus,
            key=f"{trial.name} {uuid.uuid4().hex}",
            pure=False,
            retries=RETRIES,
            resources={"GPU": 1} if self.has_gpus else None,
        )
        return ClusterJob(trial, future, self)

    def stop(self) -> None:
        """Has all processes save and stop; says until when that is awaited."""
        any_worker = any(map(self._slots_of, self.workers.values()))
        self.deadline = time.monotonic() + STOP_SECONDS * any_worker
        with contextlib.suppress(Exception):
            self.stop_event.set()

    def _ask(self) -> None:
        """Asks the scheduler for its workers; checks those that are new."""
        try:
            info = self.client.sync(
                self.client.scheduler.identity, n_workers=-1
            )
        except (OSError, RuntimeError, TypeError) as error:
            raise self.lost() from error
        if self.client.status in ("closed", "closing"):
            raise self.lost()
        self.workers = info["workers"]
        for address in self.workers.keys() - self.checked:
            problem = self._find_problem(address)
            if problem and not self.checked:
                raise UserError(
                    f"--cluster={self.address}: the worker {address} {problem}"
                )
            if problem:
                say(f"the worker {address} {problem}; it is sent away")
                self.client.retire_workers([address])
                del self.workers[address]
                continue
            self.checked.add(address)
        self.has_gpus |= any(map(_gpus_of, self.workers.values()))

    def _find_problem(self, address: str) -> str:
        """Returns why a worker cannot train for this machine, or ""."""
        path = str(self.folder.absolute() / TOKEN)
        try:
            answers = self.client.run(
                worker.introduce, path, workers=[address], on_error="return"
            )
        except (OSError, ValueError):
            return ""  # it has just left
        found = answers.get(address)
        if isinstance(found, BaseException) or found is None:
            return f"cannot import smartgrowth ({found}); install it there"
        version, token = found
        if version != __version__:
            return (
                f"has smartgrowth {version}, this machine {__version__}; "
                "install the same there"
            )
        if token != self.session:
            return f"does not see {path}; all must have the same folders"
        return ""

    def _slots_of(self, described: dict) -> int:
        gpus = _gpus_of(described) if self.has_gpus else described["nthreads"]
        return min(gpus, described["nthreads"])

    def _start_local(self):
        # Ctrl-C in a terminal reaches all its processes, and would end the
        # workers before what they train is saved. They inherit that it is
        # ignored; only the main thread can say so.
        is_main = threading.current_thread() is threading.main_thread()
        if is_main:
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return self.dask.LocalCluster(
                n_workers=int(self.address.removeprefix(LOCAL)),
                threads_per_worker=1,
                dashboard_address=":0",
                silence_logs=logging.ERROR,
            )
        finally:
            if is_main:
                signal.signal(signal.SIGINT, before)

    def _close_local(self) -> None:
        if self.local is not None:
            with contextlib.suppress(Exception):
                self.local.close()


def _gpus_of(described: dict) -> int:
    return int(described.get("resources", {}).get("GPU", 0))
