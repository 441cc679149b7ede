"""What the machine is: accelerator, precision, reproducible bits."""

import dataclasses
import os
import platform

import keras

from smartgrowth.runtime.cpu import count_cores, count_threads, read_cpu

POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
# Of an accelerator, not yet measured there; and of activations on a CPU: on two
# cores of an AMD EPYC an epoch of 10,000 images took 0.29 s instead of 0.57 s.
STEPS_PER_EXECUTION = 16


@dataclasses.dataclass(frozen=True)
class Machine:
    """The device that trains.

    kind: "cpu", "gpu" or "tpu". name: as its maker calls it.
    capability: CUDA's compute capability, of a GPU.
    features: instruction sets, of a CPU.
    """

    kind: str
    name: str
    capability: tuple[int, int] | None = None
    features: frozenset[str] = frozenset()


def choose_precision(wanted: str, machine: Machine) -> tuple[str, str]:
    """Returns the dtype policy's name for `--precision`, and why."""
    if wanted != "auto":
        why = "as --precision says"
        if wanted == "float16" and machine.kind == "cpu":
            why += "; on a CPU its gradients are over 100 x slower"
        return POLICIES[wanted], why
    if machine.kind == "tpu":
        return POLICIES["bfloat16"], "a TPU multiplies in bfloat16"
    if machine.kind == "gpu":
        if machine.capability is None:
            return POLICIES["float32"], "the GPU does not say what it can do"
        version = ".".join(str(part) for part in machine.capability)
        if machine.capability >= (8, 0):
            return POLICIES["bfloat16"], f"compute capability {version} has it"
        if machine.capability >= (7, 0):
            why = f"compute capability {version} has it, and no bfloat16"
            return POLICIES["float16"], why
        return POLICIES["float32"], f"compute capability {version} is too old"
    if keras.backend.backend() == "jax":
        # Convolutions of bfloat16 take as long there as those of float32 (1.0
        # to 1.04 x, JAX 0.10 and 0.11), and in JAX 0.11.2 compiled inference
        # gives nan, of stock Keras layers too.
        return POLICIES["float32"], "JAX gains nothing by bfloat16 on a CPU"
    for feature in ("amx_bf16", "avx512_bf16"):
        if feature in machine.features:
            return POLICIES["bfloat16"], f"the CPU has {feature}"
    return POLICIES["float32"], "the CPU has no bfloat16 instructions"


def find_machine() -> Machine:
    """Returns the device that the Keras backend trains on."""
    hide_accelerators_from_tensorflow()
    if keras.backend.backend() == "jax":
        return _jax_machine()
    import tensorflow as tf

    for kind in ("TPU", "GPU"):
        for device in tf.config.list_physical_devices(kind):
            details = tf.config.experimental.get_device_details(device)
            return Machine(
                kind.lower(),
                details.get("device_name", device.name),
                details.get("compute_capability"),
            )
    return _cpu()


def hide_accelerators_from_tensorflow() -> None:
    """Leaves the accelerators to the backend that trains, if it is another.

    TensorFlow reads the images for every backend, and would take all their
    memory. To be called before TensorFlow looks for devices.
    """
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def uses_xla(machine: Machine) -> bool:
    """Returns whether a training step is compiled with XLA.

    TensorFlow's own operators do without, and XLA makes separable networks 15 x
    slower on a CPU. JAX has nothing else: it would run operator by operator.
    """
    return machine.kind != "cpu" or keras.backend.backend() == "jax"


def steps_per_execution(
    machine: Machine, several_shapes: bool, short: bool = False
) -> int:
    """Returns the number of training steps between two returns to Python.

    An accelerator would wait for each; a stop is heard, and a checkpoint made,
    only then.

    Args:
      machine: what it runs on.
      several_shapes: batches differ in their shapes.
      short: a step takes milliseconds on a CPU too.
    """
    if machine.kind == "cpu" and not short:
        return 1
    if several_shapes and keras.backend.backend() == "tensorflow":
        return 1  # `train_each_shape` looks at every batch
    return STEPS_PER_EXECUTION


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seeds Python's, NumPy's and the backend's random generators.

    deterministic: ask for reproducible bits, which are slower.
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        # TensorFlow makes none by itself any more, and keras-cv asks for it.
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed))


def numerics(machine: Machine) -> dict:
    """Returns what equal bits depend on besides the flags."""
    facts = {} if machine.kind == "cpu" else {"device": machine.name}
    if keras.backend.backend() == "tensorflow":
        facts["threads"] = count_threads()
    return facts | {
        "cpu": _cpu().name,
        "cores": count_cores(),
        "backend": keras.backend.backend(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }


def versions() -> dict[str, str]:
    """Returns the versions of what computes, by package."""
    import numpy as np
    import tensorflow as tf

    backend = {"keras": keras.__version__}
    if keras.backend.backend() == "jax":
        import jax

        backend["jax"] = jax.__version__
    return backend | {
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _jax_machine() -> Machine:
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return _cpu()
    version = getattr(device, "compute_capability", None)
    capability = (
        tuple(int(part) for part in str(version).split("."))
        if version
        else None
    )
    return Machine(device.platform, device.device_kind, capability)


def _cpu() -> Machine:
    cpu = read_cpu()
    return Machine("cpu", cpu.name, features=cpu.features)
