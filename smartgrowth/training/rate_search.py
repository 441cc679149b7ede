"""Range tests within a run: `--lr=auto` and `--lr=auto:stage`."""

from smartgrowth.optim.rates import make_rate_tables
from smartgrowth.runtime.reporter import say
from smartgrowth.stages import Stage
from smartgrowth.training import lr_curve, lr_finder, run_files


def find_rate(learner, stage: Stage) -> bool:
    """Finds the rate before a stage, where `--lr` says so.

    Args:
      learner: a `Learner`; follows what is found.

    Returns:
      Whether it searched.

    Raises:
      UserError: the loss never fell, and there is no earlier rate.
    """
    rates, lr = learner.progress.found_rates, learner.config.lr
    if lr != "auto:stage" and (lr != "auto" or stage.index):
        return False
    tested = lr_finder.stage_to_test(learner.plan, lr, stage)
    curve = test_rates(learner, tested)
    say(lr_curve.summary(curve))
    optimizer = learner.config.optimizer
    rate = lr_finder.choose_rate(curve, rates, optimizer)
    if not curve.suggestions:
        kept = "the rate of the stage before stays"
        say(f"{kept if rates else f'the default of {optimizer}'}: {rate:g}")
    rates.append(rate)
    learner.follow(rates)
    run_files.write_schedule(learner)
    return True


def test_rates(learner, stage: Stage) -> lr_curve.Curve:
    """Returns the loss on a stage's batches at rising rates.

    The learner's network, optimizer and progress are then as before.
    """
    first, config = stage.first_step, learner.config
    steps = lr_finder.STEPS[config.optimizer]
    say(
        f"testing learning rates on stage {stage.index + 1}, up to {steps} "
        "steps"
    )
    batches = learner.make_batches(stage)
    # By which the moments are as old as they are, and layer groups have their
    # shares of the rate.
    names = learner.experiment.network.group_names
    learner.compiled.optimizer.install_tables(
        make_rate_tables(config, learner.plan, learner.peak or 1.0, names)
    )
    shown = batches(first, first + lr_finder.BATCHES)
    return lr_finder.run_range_test(
        learner.compiled.trained,
        learner.distribution.shard(shown).as_numpy_iterator(),
        lr_finder.rising_rates(config.lr_min, config.lr_max, steps),
        first_step=learner.progress.step,
        variables=learner.checkpoints.variables,
        stop=learner.stop,
    )
