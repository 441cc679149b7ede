"""Finished runs in other conditions are refused, or the difference is named."""

import json

import pytest

from smartgrowth import UserError
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.comparable import (
    check_same_conditions,
    differences,
    machines_differ,
)
from smartgrowth.config import Config
from smartgrowth.runs.reader import read_run

USUAL = {"backend": "tensorflow", "policy": "float32", "cpu": "one", "cores": 2}


@pytest.fixture
def finished(tmp_path):
    """Makes a finished run; returns its trial."""

    def make(arm, seed=0, precision="auto", ema=0, config=None, **numerics):
        directory = tmp_path / f"{arm}{seed}"
        directory.mkdir()
        (directory / "plan.json").write_text(
            json.dumps({"stages": [{"steps": 1, "image_size": 8}]})
        )
        facts = {
            key: value
            for key, value in (USUAL | numerics).items()
            if value is not None
        }
        (directory / "metrics.json").write_text(
            json.dumps({"val_accuracy": 0.5, "numerics": facts})
        )
        (directory / "flags.txt").write_text(
            f"--precision={precision}\n--ema={ema}\n"
        )
        return Trial(arm, seed, 1.0, directory, {}, config)

    return make


def named(trials) -> list[str]:
    return differences(
        {(t.arm, t.budget, t.seed): read_run(t.directory) for t in trials}
    )


@pytest.mark.parametrize(
    ("numerics", "part"),
    [
        (
            {"policy": "mixed_bfloat16"},
            "precision float32 against mixed_bfloat16; train one of them again "
            "with the other's, by --precision",
        ),
        ({"backend": "jax"}, "Keras backend tensorflow against jax;"),
    ],
)
def test_finished_runs_in_other_conditions_are_refused(
    finished, numerics, part
):
    trials = [finished("plain"), finished("grown", **numerics)]
    with pytest.raises(UserError, match="cannot be compared") as error:
        check_same_conditions(trials)
    assert part in str(error.value)
    assert "plain seed 0 (" in str(error.value)
    assert str(trials[1].directory) in str(error.value)


def test_an_arm_may_test_the_precision_and_is_named(finished):
    trials = [
        finished("plain"),
        finished("half", precision="bfloat16", policy="mixed_bfloat16"),
    ]
    check_same_conditions(trials)
    assert named(trials) == [
        "Not all runs had the same precision: float32 in plain seed 0; "
        "mixed_bfloat16 in half seed 0"
    ]


def test_seeds_of_two_machines_are_paired_on_each_and_named(finished):
    trials = [
        finished(arm, seed, policy=policy, cpu=cpu)
        for arm in ("plain", "grown")
        for seed, policy, cpu in (
            (0, "float32", "one"),
            (1, "float32", "one"),
            (2, "mixed_bfloat16", "two"),
        )
    ]
    check_same_conditions(trials)
    precision, cpu = named(trials)
    assert precision.endswith(
        "float32 in plain seeds 0, 1, grown seeds 0, 1; "
        "mixed_bfloat16 in plain seed 2, grown seed 2"
    )
    assert cpu == (
        "Not all runs had the same CPU: one in plain seeds 0, 1, grown seeds "
        "0, 1; two in plain seed 2, grown seed 2"
    )


def test_what_is_trained_here_is_named_and_never_refused(finished):
    """It would be refused after hours, for what the machine chose."""
    trials = [
        finished("plain", config=Config()),
        finished("grown", config=Config(), policy="mixed_bfloat16"),
    ]
    check_same_conditions(trials)
    assert len(named(trials)) == 1
    trials[1] = finished("later", policy="mixed_bfloat16")
    with pytest.raises(UserError, match="plain seed 0"):
        check_same_conditions(trials)


def test_what_is_unknown_differs_from_nothing(finished):
    """Older versions wrote fewer entries."""
    trials = [
        finished("plain"),
        finished("grown", policy=None, cores=None, device="a GPU"),
    ]
    check_same_conditions(trials)
    assert named(trials) == []
    runs = [read_run(trial.directory) for trial in trials]
    assert not machines_differ(runs)


def test_averaged_weights_are_named(finished):
    trials = [finished("plain"), finished("ema", ema=0.999)]
    check_same_conditions(trials)
    (sentence,) = named(trials)
    assert "(--ema): 0 in plain seed 0; 0.999 in ema seed 0" in sentence
    assert not machines_differ([read_run(t.directory) for t in trials])


def test_other_networks_are_named(finished):
    trials = [finished("plain"), finished("mine")]
    for trial, model in zip(trials, ("resnet", "net.py:mobile"), strict=True):
        flags = f"--model={model}\n--width=8\n--depth=1\n"
        (trial.directory / "flags.txt").write_text(flags)
    (line,) = named(trials)
    assert "same network (--model, --width, --depth): " in line
    assert "net.py:mobile 8 1 in mine seed 0" in line


def test_equal_runs_have_nothing_to_name(finished):
    trials = [finished("plain"), finished("grown"), finished("grown", 1)]
    check_same_conditions(trials)
    assert named(trials) == []
