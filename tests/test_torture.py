"""benchmarks/torture.py in short, and that it would notice."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

PATH = pathlib.Path(__file__).parents[1] / "benchmarks" / "torture.py"
KINDS = ("moment", "write", "boundary", "results")


@pytest.mark.slow
def test_killed_trainings_end_as_if_they_had_not_been():
    """Real processes; the moments are those of the seed."""
    engine = keras.backend.backend()
    options = ("--kills=4", "--cases=1", "--no_controls", "--seed=1")
    output = subprocess.run(
        [sys.executable, PATH, *options, f"--engines={engine}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=500,
        check=True,
    ).stdout
    kills = json.loads(output.splitlines()[-1])[engine]["kills"]
    assert sum(kills[kind] for kind in KINDS) == 4
    assert kills["runs"] >= 1


def test_a_value_that_differs_or_is_missing_is_named():
    spec = importlib.util.spec_from_file_location("torture", PATH)
    torture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(torture)
    whole = {"weights a": np.float32([1, 2]), "log 5 val_loss": "0.25"}
    assert torture.differences(whole, dict(whole)) == []
    last_bit = np.nextafter(whole["weights a"], np.float32(9))
    assert torture.differences(whole, whole | {"weights a": last_bit}) == [
        "weights a"
    ]
    assert torture.differences(whole, {"weights a": whole["weights a"]}) == [
        "log 5 val_loss"
    ]
