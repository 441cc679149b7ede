"""What devices that share every batch do together, whatever the backend.

The main process alone writes and prints. How the devices are found stands in
`distributed`.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.runtime.keras_internals import wrap_predict_function
from smartgrowth.runtime.reporter import REPORTER

LOST = (
    "another process of this run has ended or cannot be reached; give all "
    "their commands again, and the run goes on from its last checkpoint"
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The devices that share every batch, and this process's part in it.

    devices: how many, in all processes. rank: of this process, from 0.
    strategy: TensorFlow's; the network is made within its scope.
    """

    devices: int = 1
    processes: int = 1
    rank: int = 0
    strategy: object = None

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def scope(self):
        """Returns the context in which the network is to be made."""
        if self.strategy is None:
            return contextlib.nullcontext()
        return self.strategy.scope()

    def summary(self, device_name: str) -> str:
        """Returns how many devices of that name there are, in words."""
        if self.devices == 1:
            return device_name
        words = f"{self.devices} devices, {device_name}"
        if self.processes > 1:
            words += f", in {self.processes} processes"
        return words

    def round_up_batch(self, batch: int) -> int:
        """Returns the next batch size that the devices divide."""
        return -(-batch // self.devices) * self.devices

    def shard(self, batches):
        """Returns this process's part of each batch of a `tf.data.Dataset`."""
        if self.processes == 1:
            return batches
        part, parts = self.rank, self.processes

        def take(array):
            rows = array.shape[0] // parts
            return array[part * rows : (part + 1) * rows]

        return batches.map(
            lambda *arrays: (
                take(arrays[0])
                if len(arrays) == 1
                else tuple(map(take, arrays))
            )
        )

    def gather_outputs(self, model) -> None:
        """Has the model's predict function give every process all rows."""
        if self.processes == 1:
            return
        import jax

        mesh = keras.distribution.distribution().device_mesh.backend_mesh
        everywhere = jax.sharding.NamedSharding(
            mesh, jax.sharding.PartitionSpec()
        )
        gather = jax.jit(lambda rows: rows, out_shardings=everywhere)

        def gathering(predict):
            def predict_and_gather(state, iterator):
                outputs, state = predict(state, iterator)
                return gather(outputs), state

            return predict_and_gather

        wrap_predict_function(model, gathering)

    def check_plan(self, plan) -> None:
        """Raises `UserError` if the devices cannot train what a plan shows."""
        for stage in plan.stages:
            if self.strategy is not None and len(set(stage.sizes)) > 1:
                raise UserError(
                    "--size_jitter with --devices=all: TensorFlow takes "
                    "batches of one size here; give --devices=1, or set "
                    "KERAS_BACKEND=jax"
                )
            batch, count = stage.batch_size, self.devices
            if batch % count == 0:
                continue
            below, above = batch // count * count, self.round_up_batch(batch)
            near = [below] * (below > 0)
            near += [above] * (above <= stage.num_images)
            way = f"--batch_size for it at {' or '.join(map(str, near))}"
            if not near:
                way = f"more of them, or fewer devices than {count}"
            why = ""
            if batch == stage.num_images:
                why = ", all the images that it has"
            raise UserError(
                f"stage {stage.index + 1} has batches of {batch}{why}, which "
                f"{count} devices cannot share evenly; give {way}"
            )

    def process_directory(self, directory: pathlib.Path) -> pathlib.Path:
        """Returns where this process writes; for the main one, `directory`.

        The others do all that it does, so that no device waits in vain, and
        write it to a folder that goes with the process.
        """
        if self.is_main_process:
            return directory
        kept = tempfile.TemporaryDirectory(prefix="smartgrowth_")
        _DIRECTORIES.append(kept)
        return pathlib.Path(kept.name)

    def check_agreement(self, plan_hash: str, step: int) -> None:
        """Raises `UserError` unless all processes go on from the same point."""
        if self.processes == 1:
            return
        own = [int(plan_hash[:7], 16), step]
        every = _gather(np.array(own, np.int32))
        if (every != every[0]).any():
            raise UserError(
                f"the processes of this run do not agree: plans "
                f"{[f'{plan:07x}' for plan, _ in every.tolist()]}, steps "
                f"{[at for _, at in every.tolist()]}; give all the same flags "
                "and a --workdir that they share"
            )

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if self.processes > 1:
            _gather(np.zeros(1, np.int32))

    @contextlib.contextmanager
    def watch(self):
        """Ends this process, with a message, if another one is lost."""
        if self.processes == 1:
            yield
            return
        import jax

        messenger = subprocess.Popen(
            [sys.executable, "-c", _MESSENGER, f"error: {LOST}"],
            stdin=subprocess.PIPE,
        )
        try:
            yield
            messenger.communicate(_ALL_IS_WELL)
        except BaseException as error:
            text, status = f"error: {error}", 1
            if isinstance(error, jax.errors.JaxRuntimeError):
                text = f"error: {LOST} ({first_line(error)})"
            elif isinstance(error, KeyboardInterrupt):
                text, status = "stopped; the same commands go on", 130
            elif not isinstance(error, UserError | OSError):
                text = traceback.format_exc()
            sys.stdout.flush()
            REPORTER.complain(text)
            messenger.communicate(_ALL_IS_WELL)
            # Python's own way out would wait for the others.
            os._exit(status)


# JAX may end the process from within, with a stack of its own and no word of
# Python's. What reads the other end of a pipe still hears that, and says it.
_ALL_IS_WELL = b"nothing is left to say"
_MESSENGER = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.stdin.buffer.read() != {_ALL_IS_WELL!r}:
    print(sys.argv[1], file=sys.stderr, flush=True)
"""
_DIRECTORIES = []  # of processes that are not the main one; kept to its end


SINGLE_DEVICE = Distribution()


def _gather(own: np.ndarray) -> np.ndarray:
    """Returns every process's array, by rank: (processes, ...)."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(own))


def first_line(error) -> str:
    """Returns the first line of an exception's message."""
    return str(error).strip().partition("\n")[0]
