"""Finding the devices that share every batch, of one process or several.

What is trained does not depend on how many they are: batches, rates and steps
are those of the plan, and batch norm sees the whole batch. TensorFlow mirrors
the network over the devices of one process; JAX shards the batch over those of
all processes.
"""

import os
import pathlib
import sys

import keras

from smartgrowth import UserError
from smartgrowth.config import PROCESS_VARIABLES
from smartgrowth.runtime.distribution import ALONE, Team, first_line

ADDRESSES, PROCESSES, NUMBER = PROCESS_VARIABLES
# A silent one is given up after this, within the minute that people wait. Not
# through Keras' `initialize`, which leaves it at JAX's own 100.
HEARTBEAT_SECONDS = 30


def join(wanted: str) -> None:
    """Makes this process one of several, if Keras' variables say that it is.

    To be called before anything asks for devices. wanted: of `--devices`.

    Raises:
      UserError: of variables, an engine or a flag that do not go together.
    """
    told = {
        name: os.environ[name]
        for name in (ADDRESSES, PROCESSES, NUMBER)
        if name in os.environ
    }
    if not told:
        return
    if len(told) < 3:
        raise UserError(
            f"of {ADDRESSES}, {PROCESSES} and {NUMBER} only "
            f"{' and '.join(told)} is set; set all three, or none"
        )
    count, number = _whole(PROCESSES, told), _whole(NUMBER, told)
    if number >= count:
        raise UserError(f"{NUMBER}={number}: must be below {PROCESSES}={count}")
    if keras.backend.backend() != "jax":
        raise UserError(
            f"{PROCESSES}={count}: with {keras.backend.backend()} Keras trains "
            "in one process; set KERAS_BACKEND=jax, or unset the variable"
        )
    if wanted != "all":
        raise UserError(
            f"--devices={wanted} with {PROCESSES}={count}: several processes "
            "train on all their devices; give --devices=all"
        )
    address = told[ADDRESSES].split(",")[0].strip()
    if not address.rpartition(":")[2].isdigit():
        raise UserError(
            f"{ADDRESSES}={told[ADDRESSES]}: must begin with the first "
            "process's host:port"
        )
    import jax

    if number:  # the first one speaks for all
        sys.stdout = pathlib.Path(os.devnull).open("w")  # noqa: SIM115
    try:
        jax.distributed.initialize(
            address, count, number, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except RuntimeError as error:
        raise UserError(
            f"{ADDRESSES}={told[ADDRESSES]}: the {count} processes did not "
            f"find each other ({first_line(error)})"
        ) from None


def form(wanted: str, say=print) -> Team:
    """The team that `--devices` means. Networks made from now on are its.

    wanted: auto, 1 or all. say: takes a line.

    Raises:
      UserError: the engine cannot.
    """
    engine = keras.backend.backend()
    found = _devices(engine)
    if wanted != "all":
        if engine == "jax":
            keras.distribution.set_distribution(None)
        if wanted == "auto" and len(found) > 1 and _is_accelerator(found[0]):
            say(
                f"trains on one of {len(found)} accelerators; --devices=all "
                "would use them"
            )
        return ALONE
    if engine == "jax":
        import jax

        # Not sharded by Keras: every process is given its own rows.
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(
                devices=found, auto_shard_dataset=False
            )
            if len(found) > 1
            else None
        )
        return Team(len(found), jax.process_count(), jax.process_index())
    if engine == "tensorflow":
        return _mirrored(found)
    raise UserError(
        f"--devices=all: KERAS_BACKEND={engine} trains on one device here; "
        "use jax or tensorflow"
    )


def _mirrored(found) -> Team:
    import tensorflow as tf

    if found[0].device_type == "TPU":
        strategy = tf.distribute.TPUStrategy(_tpu())
    elif len(found) == 1:
        return ALONE
    else:
        strategy = tf.distribute.MirroredStrategy([d.name for d in found])
    return Team(strategy.num_replicas_in_sync, strategy=strategy)


def _tpu():
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TPUClusterResolver("local")
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return resolver


def _devices(engine: str) -> list:
    """All that the engine could train on: the accelerators, or the CPUs."""
    if engine == "jax":
        return keras.distribution.list_devices()
    if engine != "tensorflow":
        return [None]
    import tensorflow as tf

    if tf.config.list_physical_devices("TPU"):
        return tf.config.list_physical_devices("TPU")
    return tf.config.list_logical_devices(
        "GPU"
    ) or tf.config.list_logical_devices("CPU")


def _is_accelerator(device) -> bool:
    kind = getattr(device, "device_type", None) or str(device).split(":")[0]
    return kind.lower() != "cpu"


def _whole(name: str, told: dict) -> int:
    if not told[name].isdigit():
        raise UserError(f"{name}={told[name]}: must be a whole number")
    return int(told[name])
