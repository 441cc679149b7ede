"""The flagfiles in configs/: each is valid, and the arms cost the same."""

import dataclasses
import pathlib

import pytest
from absl import flags

from smartgrowth.command_line import define_flags, from_flags
from smartgrowth.config import Config
from smartgrowth.planning import make_network, make_plan
from smartgrowth.stages import Plan

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "configs").rglob("*.flags"))
ARMS = ("baseline", "h1", "h2", "h3", "h123")
# Training images of each class.
COUNTS = {
    "glyphs": [200] * 60,
    "cifar10": [5000] * 10,
    "tiny_imagenet": [500] * 200,
}


def read(path: pathlib.Path) -> Config:
    values = flags.FlagValues()
    define_flags(values, Config)
    values(["smartgrowth", f"--flagfile={path}"])
    return from_flags(values)


def plan_of(path: pathlib.Path, **changes) -> Plan:
    # Not its yoke: the run that it repeats is not there.
    config = dataclasses.replace(read(path), grow_schedule=None, **changes)
    counts = COUNTS[config.dataset]
    return make_plan(config, counts, make_network(config, len(counts)))


def test_every_hypothesis_has_a_flagfile_for_every_dataset():
    found = {str(path.relative_to(ROOT / "configs")) for path in FILES}
    for folder in ("", "cifar10/", "tiny_imagenet/"):
        assert {f"{folder}{arm}.flags" for arm in ARMS} <= found
    assert "cifar10/h3_doubling.flags" in found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_flagfile_opens_with_its_commands_and_one_line_of_what_it_is(path):
    name = path.relative_to(ROOT)
    lines = path.read_text("utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert comments == lines[: len(comments)]
    assert comments[0] == f"# python -m smartgrowth.main --flagfile={name}"
    assert all("python -m smartgrowth" in line for line in comments[:-1])
    about = comments[-1]
    assert "python" not in about
    # What it reached stands in configs/README.md alone.
    assert "%" not in about and "measured" not in about.lower()
    assert all(line.startswith("--") for line in lines[len(comments) :])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_flagfile_makes_a_plan_in_a_folder_of_its_own(path):
    plan = plan_of(path)
    assert plan.steps > 100
    folder = path.relative_to(ROOT / "configs").with_suffix("")
    assert read(path).workdir == f"runs/{folder}"


@pytest.mark.parametrize("folder", ["", "cifar10", "tiny_imagenet"])
@pytest.mark.parametrize("arm", ARMS[1:])
def test_every_arm_costs_what_the_baseline_costs(folder, arm):
    baseline, other = (
        plan_of(ROOT / "configs" / folder / f"{name}.flags").gflops()
        for name in ("baseline", arm)
    )
    assert other == pytest.approx(baseline, rel=0.03)


@pytest.mark.parametrize("share", [1.0, 1 / 3])
def test_the_small_batch_makes_as_many_updates_as_h3_at_equal_cost(share):
    """It is the baseline in all else, and so tests the updates alone."""
    folder = ROOT / "configs"
    baseline = read(folder / "baseline.flags")
    small = read(folder / "controls" / "small_batch.flags")
    own = "batch_size", "stage_steps", "workdir"
    for field in dataclasses.fields(Config):
        if field.name not in own:
            values = (getattr(each, field.name) for each in (baseline, small))
            assert len({*values}) == 1, field.name
    gflops = share * plan_of(folder / "baseline.flags").gflops()
    control, h3, usual = (
        plan_of(folder / name, budget_gflops=gflops)
        for name in ("controls/small_batch.flags", "h3.flags", "baseline.flags")
    )
    assert control.gflops() == pytest.approx(h3.gflops(), rel=0.01)
    assert control.steps == pytest.approx(h3.steps, rel=0.02)
    assert usual.steps < 0.6 * h3.steps


def test_the_hypotheses_count_in_steps_to_mean_the_same_on_any_dataset():
    for arm in ARMS:
        config = read(ROOT / "configs" / f"{arm}.flags")
        assert config.stage_steps and not config.stage_epochs


def test_doubling_ends_at_64_px_by_doubling_every_few_epochs():
    config = read(ROOT / "configs/cifar10/h3_doubling.flags")
    sizes = config.grow_size
    assert sizes[-1] == 64
    assert all(b == 2 * a for a, b in zip(sizes, sizes[1:], strict=False))
    assert config.stage_epochs and config.schedule == "one_cycle"


def test_tiny_imagenet_is_trained_by_the_assignment_s_rules():
    most = {"best": 26e6, "best_separable": 14e6}
    for path in (ROOT / "configs/tiny_imagenet").iterdir():
        config = read(path)
        # Half an hour of a CPU is not enough for the whole resolution.
        size = 48 if path.stem == "cpu30" else 64
        assert config.enforce_rules and config.final_size == size
        assert config.dropout == 0
        assert plan_of(path).epochs(100_000) <= 500
        parameters = make_network(config, 200).count_parameters()
        assert parameters < most.get(path.stem, 26e6)
