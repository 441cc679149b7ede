"""What an experiment settles before a run has a directory or a device."""

import pytest

from smartgrowth.config import Config
from smartgrowth.experiment import count_evaluations, make_experiment
from smartgrowth.models.network import Network
from smartgrowth.plan import Plan, Stage

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
