"""The precision is what the machine does in hardware, unless one is named."""

import keras
import numpy as np
import pytest

from smartgrowth.runtime import devices
from smartgrowth.runtime.devices import Machine, choose_precision


def cpu(*features):
    return Machine("cpu", "a CPU", features=frozenset(features))


def gpu(*capability):
    return Machine("gpu", "a GPU", capability or None)


@pytest.mark.parametrize(
    ("machine", "policy", "why"),
    [
        (cpu("avx2", "amx_bf16", "amx_tile"), "mixed_bfloat16", "amx_bf16"),
        (cpu("avx2", "avx512_bf16"), "mixed_bfloat16", "avx512_bf16"),
        (cpu("avx2", "avx512f"), "float32", "no bfloat16"),
        (cpu("avx512_fp16"), "float32", "no bfloat16"),
        (cpu(), "float32", "no bfloat16"),
        (gpu(6, 0), "float32", "6.0"),  # P100
        (gpu(7, 0), "mixed_float16", "7.0"),  # V100
        (gpu(7, 5), "mixed_float16", "7.5"),  # T4
        (gpu(8, 0), "mixed_bfloat16", "8.0"),  # A100
        (gpu(8, 9), "mixed_bfloat16", "8.9"),  # L4
        (gpu(9, 0), "mixed_bfloat16", "9.0"),  # H100
        (gpu(12, 0), "mixed_bfloat16", "12.0"),
        (gpu(), "float32", "does not say"),
        (Machine("tpu", "a TPU"), "mixed_bfloat16", "TPU"),
    ],
    # Not of features: a set is written in an order of the process's own.
    ids=lambda value: getattr(value, "name", value),
)
def test_auto_takes_what_the_machine_is_fast_in(
    machine, policy, why, monkeypatch
):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    chosen, reason = choose_precision("auto", machine)
    assert chosen == policy
    assert why in reason


@pytest.mark.parametrize(
    ("machine", "policy"),
    [
        (cpu("avx512_bf16"), "float32"),
        (gpu(9, 0), "mixed_bfloat16"),
        (Machine("tpu", "a TPU"), "mixed_bfloat16"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_jax_takes_bfloat16_on_accelerators_alone(machine, policy, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert choose_precision("auto", machine)[0] == policy


@pytest.mark.parametrize(
    "machine", [cpu(), cpu("amx_bf16"), gpu(7, 5), Machine("tpu", "a TPU")]
)
@pytest.mark.parametrize(
    ("wanted", "policy"),
    [
        ("float32", "float32"),
        ("bfloat16", "mixed_bfloat16"),
        ("float16", "mixed_float16"),
    ],
)
def test_a_precision_that_is_named_wins(wanted, policy, machine):
    chosen, why = choose_precision(wanted, machine)
    assert chosen == policy
    assert "--precision" in why
    slow = wanted == "float16" and machine.kind == "cpu"
    assert ("slower" in why) == slow


@pytest.mark.parametrize("policy", devices.POLICIES.values())
def test_every_policy_is_one_of_keras(policy):
    assert keras.dtype_policies.get(policy).variable_dtype == "float32"


def test_this_machine_is_found_and_named():
    machine = devices.find_machine()
    assert machine.kind in ("cpu", "gpu", "tpu")
    assert machine.name.strip()
    assert (machine.capability is None) or machine.kind == "gpu"
    assert choose_precision("auto", machine)[0] in devices.POLICIES.values()


def test_the_same_seed_gives_the_same_weights():
    drawn = []
    for seed in (3, 3, 4):
        devices.seed_everything(seed, deterministic=False)
        drawn.append(np.asarray(keras.random.normal((4,))))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).all()


def test_what_equal_bits_depend_on_is_recorded(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    machine = devices.Machine("cpu", "a CPU")
    facts = devices.numerics(machine)
    assert facts["onednn"] == "0"
    assert facts["backend"] == keras.backend.backend()
    assert facts["cores"] >= 1
    assert facts["cpu"].strip()
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert devices.numerics(machine)["onednn"] == "default"
    assert "device" not in facts  # `cpu` names it
    monkeypatch.setattr("smartgrowth.runtime.cpu.count_cores", lambda: 5)
    for given, threads in (("3", 3), ("0", 5), ("", 5)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", given)
        assert devices.numerics(machine)["threads"] == threads
    # JAX does not ask that variable.
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert "threads" not in devices.numerics(machine)
    gpu = devices.Machine("gpu", "Tesla T4", (7, 5))
    assert devices.numerics(gpu)["device"] == "Tesla T4"


@pytest.mark.parametrize(
    ("machine", "several_shapes", "engine", "at_once"),
    [
        (cpu(), False, "tensorflow", False),
        (cpu(), False, "jax", False),
        (gpu(8, 0), False, "tensorflow", True),
        (gpu(8, 0), True, "tensorflow", False),
        (gpu(8, 0), True, "jax", True),
    ],
    ids=str,
)
def test_an_accelerator_is_given_several_steps_per_execution(
    machine, several_shapes, engine, at_once, monkeypatch
):
    monkeypatch.setattr(devices.keras.backend, "backend", lambda: engine)
    steps = devices.steps_per_execution(machine, several_shapes)
    assert steps == (devices.STEPS_PER_EXECUTION if at_once else 1)


@pytest.mark.parametrize(
    ("machine", "engine", "compiled"),
    [
        (cpu(), "tensorflow", False),
        (cpu(), "jax", True),
        (gpu(8, 0), "tensorflow", True),
    ],
    ids=str,
)
def test_tensorflow_does_without_xla_on_a_cpu(
    machine, engine, compiled, monkeypatch
):
    monkeypatch.setattr(devices.keras.backend, "backend", lambda: engine)
    assert devices.uses_xla(machine) is compiled
