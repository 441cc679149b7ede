"""Finding the devices that share every batch, of one process or several.

What is trained does not depend on how many they are: batches, rates and steps
are those of the plan, and batch norm sees the whole batch. TensorFlow mirrors
the network over the devices of one process; JAX shards the batch over those of
all processes.
"""

import os

import keras

from smartgrowth import UserError
from smartgrowth.config import PROCESS_VARIABLES
from smartgrowth.runtime import backend, reporter
from smartgrowth.runtime.distribution import (
    SINGLE_DEVICE,
    Distribution,
    first_line,
)

ADDRESSES, PROCESSES, RANK = PROCESS_VARIABLES
# A silent one is given up after this, within the minute that people wait. Not
# through Keras' `initialize`, which leaves it at JAX's own 100.
HEARTBEAT_SECONDS = 30


def join(wanted: str) -> None:
    """Makes this process one of several, if Keras' variables say that it is.

    To be called before anything asks for devices. All processes but the main
    one are muted.

    Args:
      wanted: of `--devices`.

    Raises:
      UserError: of variables, a backend or a flag that do not go together.
    """
    variables = {
        name: os.environ[name]
        for name in PROCESS_VARIABLES
        if name in os.environ
    }
    if not variables:
        return
    if len(variables) < 3:
        raise UserError(
            f"of {ADDRESSES}, {PROCESSES} and {RANK} only "
            f"{' and '.join(variables)} is set; set all three, or none"
        )
    count = _whole_number(PROCESSES, variables)
    rank = _whole_number(RANK, variables)
    if rank >= count:
        raise UserError(f"{RANK}={rank}: must be below {PROCESSES}={count}")
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
    address = variables[ADDRESSES].split(",")[0].strip()
    if not address.rpartition(":")[2].isdigit():
        raise UserError(
            f"{ADDRESSES}={variables[ADDRESSES]}: must begin with the first "
            "process's host:port"
        )
    if rank:  # the first one speaks for all
        reporter.mute()
    try:
        with backend.quiet():
            import jax

            jax.distributed.initialize(
                address,
                count,
                rank,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
    except RuntimeError as error:
        raise UserError(
            f"{ADDRESSES}={variables[ADDRESSES]}: the {count} processes did "
            f"not find each other ({first_line(error)})"
        ) from None


def make_distribution(wanted: str) -> Distribution:
    """Makes the distribution that `--devices` means.

    Networks made from now on are distributed so.

    Args:
      wanted: auto, 1 or all.

    Raises:
      UserError: the backend cannot.
    """
    name = keras.backend.backend()
    devices = _devices(name)
    if wanted != "all":
        if name == "jax":
            keras.distribution.set_distribution(None)
        several = len(devices) > 1 and _is_accelerator(devices[0])
        if wanted == "auto" and several:
            reporter.say(
                f"trains on one of {len(devices)} accelerators; --devices=all "
                "would use them"
            )
        return SINGLE_DEVICE
    if name == "jax":
        import jax

        # Not sharded by Keras: every process is given its own rows.
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(
                devices=devices, auto_shard_dataset=False
            )
            if len(devices) > 1
            else None
        )
        return Distribution(
            len(devices), jax.process_count(), jax.process_index()
        )
    if name == "tensorflow":
        return _mirror(devices)
    raise UserError(
        f"--devices=all: KERAS_BACKEND={name} trains on one device here; "
        "use jax or tensorflow"
    )


def _mirror(devices) -> Distribution:
    import tensorflow as tf

    if devices[0].device_type == "TPU":
        strategy = tf.distribute.TPUStrategy(_tpu())
    elif len(devices) == 1:
        return SINGLE_DEVICE
    else:
        strategy = tf.distribute.MirroredStrategy([d.name for d in devices])
    return Distribution(strategy.num_replicas_in_sync, strategy=strategy)


def _tpu():
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TPUClusterResolver("local")
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return resolver


def _devices(name: str) -> list:
    """All that a backend could train on: the accelerators, or the CPUs."""
    if name == "jax":
        return keras.distribution.list_devices()
    if name != "tensorflow":
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


def _whole_number(name: str, variables: dict[str, str]) -> int:
    if not variables[name].isdigit():
        raise UserError(f"{name}={variables[name]}: must be a whole number")
    return int(variables[name])
