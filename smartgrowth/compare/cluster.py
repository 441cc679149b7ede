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
from smartgrowth.compare import worker
from smartgrowth.compare.arms import Trial
from smartgrowth.compare.jobs import Job
from smartgrowth.runtime.reporter import Reporter, say

LOCAL = "local:"  # in --cluster, before a number of workers
CONNECT_SECONDS = 10
# Without a worker that can take a task, a comparison waits so long for one.
WAIT_SECONDS = 60
INFO_SECONDS = 1.0  # between two questions to the scheduler
RETRIES = 2  # of a process that was killed
STOP_SECONDS = 300  # for what is trained to be saved


class ClusterJob(Job):
    """A trial's task."""

    def __init__(self, trial: Trial, future, session: str):
        super().__init__(trial)
        self.future, self.session = future, session
        self.stopped = False

    @property
    def started(self) -> bool:
        # As far as its files show: no scheduler is asked.
        task = worker.read_task(self.trial.directory)
        return task.get("session") == self.session

    def poll(self, reporter: Reporter) -> int | None:
        if not self.future.done():
            return None
        if self.future.status == "finished":
            return self.future.result()
        error = self.future.exception() if not self.stopped else None
        reporter.say(f"{self.trial.name}: {error or self.future.status}")
        return 1

    def stop(self) -> None:
        """Nothing: the pool's event stops all of them."""
        self.stopped = True

    def wait(self) -> None:
        with contextlib.suppress(Exception):
            self.future.result(timeout=STOP_SECONDS)


class ClusterPool:
    """The workers of a cluster.

    Args:
      address: of a scheduler, or local:N for N workers on this machine.
      program: arguments of Python, before the flags of a trial.

    Raises:
      UserError: Dask is not installed.
    """

    def __init__(
        self,
        address: str,
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
        self.program = tuple(program)
        self.session = uuid.uuid4().hex
        self.workers: dict[str, dict] = {}  # as the scheduler describes them
        self.asked = self.lacked = -float("inf")
        self.local = None

    def __enter__(self) -> "ClusterPool":
        """Connects to the cluster, and waits for its first worker.

        Raises:
          UserError: nothing answers there, no worker joins, or one has another
            version of this package.
        """
        logging.getLogger("distributed").setLevel(logging.ERROR)
        address = self.address
        try:
            if address.startswith(LOCAL):
                self.local = address = self._start_local()
            self.client = self.dask.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError) as error:
            self._close_local()
            raise UserError(
                f"--cluster={self.address}: no scheduler answers there within "
                f"{CONNECT_SECONDS} s ({str(error) or type(error).__name__}); "
                "start one with: dask scheduler"
            ) from error
        try:
            self.stop_event = self.dask.Event(
                f"stop-{self.session}", client=self.client
            )
            while not self.capacity:
                time.sleep(0.1)
            self._check_versions()
        except BaseException:
            self.client.close()
            self._close_local()
            raise
        say(f"{self.address}: {len(self.workers)} workers")
        return self

    def __exit__(self, *error) -> None:
        self.client.close()
        self._close_local()

    @property
    def capacity(self) -> int:
        """Tasks that the workers can run at once.

        Raises:
          UserError: there has been no worker for `WAIT_SECONDS`.
        """
        now = time.monotonic()
        if now - self.asked >= INFO_SECONDS or not self.workers:
            self.asked = now
            info = self.client.scheduler_info(n_workers=-1)
            self.workers = info["workers"]
        slots = sum(
            self._gpus_of(each) if self.has_gpus else each["nthreads"]
            for each in self.workers.values()
        )
        if slots or self.lacked == -float("inf"):
            self.lacked = now
        elif now - self.lacked > WAIT_SECONDS:
            raise UserError(
                f"--cluster={self.address}: no worker has joined for "
                f"{WAIT_SECONDS} s; start one with: dask worker ADDRESS "
                "--nthreads=1"
            )
        return slots

    @property
    def has_gpus(self) -> bool:
        """Whether any worker has declared GPUs; only such get runs then."""
        return any(map(self._gpus_of, self.workers.values()))

    def start(self, trial: Trial) -> ClusterJob:
        """Submits a trial's task."""
        hosts = [each["host"] for each in self.workers.values()]
        future = self.client.submit(
            run_task,
            {
                "lines": trial.config.flag_lines(),
                "directory": str(trial.directory),
                "folder": str(pathlib.Path.cwd()),
                "session": self.session,
                "program": self.program,
            },
            {host: hosts.count(host) for host in hosts},
            self.has_gpus,
            key=f"{trial.name} {uuid.uuid4().hex}",
            pure=False,
            retries=RETRIES,
            resources={"GPU": 1} if self.has_gpus else None,
        )
        return ClusterJob(trial, future, self.session)

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
                dashboard_address=None,
                silence_logs=logging.ERROR,
            )
        finally:
            if is_main:
                signal.signal(signal.SIGINT, before)

    def stop(self) -> None:
        """Has all processes save and stop."""
        self.stop_event.set()

    @staticmethod
    def _gpus_of(described: dict) -> int:
        return int(described.get("resources", {}).get("GPU", 0))

    def _check_versions(self) -> None:
        for address in self.workers:
            try:
                theirs = self.client.run(worker.version, workers=[address])
            except Exception as error:
                raise UserError(
                    f"--cluster={self.address}: the worker {address} cannot "
                    f"import smartgrowth ({error}); install it there"
                ) from error
            if theirs[address] != __version__:
                raise UserError(
                    f"--cluster={self.address}: the worker {address} has "
                    f"smartgrowth {theirs[address]}, this machine "
                    f"{__version__}; install the same there"
                )

    def _close_local(self) -> None:
        if self.local is not None:
            self.local.close()


def run_task(settings: dict, hosts: dict[str, int], has_gpus: bool) -> int:
    """Trains a run on the worker that has the task: `worker.train`.

    Args:
      settings: its arguments.
      hosts: workers of each host.
      has_gpus: whether workers have declared GPUs.
    """
    import distributed

    own = distributed.get_worker()
    event = distributed.Event(f"stop-{settings['session']}")
    host = own.address.rpartition(":")[0].rpartition("//")[2]
    gpus = int(own.state.total_resources.get("GPU", 0)) if has_gpus else 0
    return worker.train(
        **settings,
        sharing=hosts.get(host, 1) * (gpus or own.state.nthreads),
        gpus=gpus,
        stops=event.is_set,
    )
