"""What an experiment settles before a run has a directory or a device."""

import pytest

from smartgrowth.config import Config
from smartgrowth.experiment import count_evaluations, make_experiment
from smartgrowth.models.network import Network
from smartgrowth.stages import Decision, Plan, Stage

NETWORK = Network("resnet", 60)
CONFIG = Config(test_size=32)


def make_plan(steps: int) -> Plan:
    """Two stages of equal length, at 16 and 32 px."""
    stages = tuple(
        Stage(
            index=index,
            first_step=index * steps,
            steps=steps,
            batch_size=64,
            num_images=12_000,
            image_size=size,
            num_classes=60,
        )
        for index, size in enumerate((16, 32))
    )
    flops = tuple(3 * NETWORK.flops_per_image(s.image_size) for s in stages)
    return Plan(stages, flops)


def cost(plan: Plan, count: int, images: int) -> float:
    """The forward passes of the evaluations, as a share of the training."""
    final, small = (NETWORK.flops_per_image(size) for size in (32, 16))
    first, _ = (plan.gflops_of(stage) / plan.gflops() for stage in plan.stages)
    each = images * (final + first * small) / 1e9
    return count * each / plan.gflops()


@pytest.mark.parametrize("steps", [500, 1000])
def test_evaluations_cost_a_twentieth_of_the_training(steps):
    plan = make_plan(steps)
    count = count_evaluations(CONFIG, plan, NETWORK, 2400)
    assert 1 < count < 20
    assert cost(plan, count, 2400) <= 0.05 < cost(plan, count + 1, 2400)


@pytest.mark.parametrize(("steps", "count"), [(5, 1), (100_000, 20)])
def test_the_shortest_run_has_one_and_long_ones_have_twenty(steps, count):
    assert count_evaluations(CONFIG, make_plan(steps), NETWORK, 2400) == count


def test_a_number_that_was_given_stands(tiny_config, tiny_data):
    given = make_experiment(tiny_config(evals=7), tiny_data)
    assert given.plan.evals == 7
    free = make_experiment(tiny_config(evals=None), tiny_data)
    assert free.plan.evals == 1
    # And is the same experiment as another's that counts for itself.
    again = make_experiment(tiny_config(evals=None), tiny_data)
    assert again.description == free.description


def test_epochs_are_the_most_that_may_come_until_all_is_decided(
    tiny_config, tiny_data
):
    """Or a rule of the assignment could be kept at first, and broken later."""
    config = tiny_config(
        grow_when="auto", grow_size=(16, 24), stage_steps=(40,), grow_most=0.7
    )
    free = make_experiment(config, tiny_data)
    count = len(tiny_data.train.labels)
    ends = free.plan.evaluations(free.plan.stages[0], 0)
    every = [free.after([Decision(end, "slowed")]) for end in ends]
    assert all(each.epochs <= free.epochs + 16 / count for each in every)
    assert every[-1].epochs == pytest.approx(free.epochs, rel=0.02)
    assert every[-1].epochs == every[-1].plan.epochs(count)


def test_a_decision_reads_no_file_again(tiny_config, tiny_data, tmp_path):
    listed = tmp_path / "classes.csv"
    listed.write_text("class\nsun\nmoon\nrook\nrock crystal\n")
    config = tiny_config(
        grow_when="auto", grow_size=(16, 24), class_order=f"file:{listed}"
    )
    free = make_experiment(config, tiny_data)
    free.find_orders()
    before = free.description["hash"]
    listed.unlink()
    decided = free.after([Decision(3, "slowed")])
    assert decided.description["hash"] == before
    assert decided.image_order is free.image_order
    assert decided.description["decisions"] == [{"step": 3, "rule": "slowed"}]
