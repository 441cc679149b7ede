"""The driver: for each stage build the dataset, fit, go on with the same model.

What a run is stands in its experiment; how far it has come, in its
checkpoints. Both outlive the process, so the same command again goes on where
it stopped. `learner` draws what fires when.
"""

import pathlib
from collections.abc import Sequence

import keras

from smartgrowth.experiment import Experiment
from smartgrowth.report.write import write_report
from smartgrowth.runs import damage, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.runtime import distributed
from smartgrowth.runtime.reporter import say
from smartgrowth.training import (
    deciding,
    finishing,
    lr_curve,
    lr_finder,
    rate_search,
)
from smartgrowth.training.learner import Learner
from smartgrowth.training.signals import StopSignals
from smartgrowth.training.summary import overview


def train(
    experiment: Experiment, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> pathlib.Path:
    """Trains, or goes on with, the run that an experiment is.

    Args:
      callbacks: of the caller's; see `run_log`.

    Returns:
      The run directory, complete.

    Raises:
      UserError: a setting, a directory or a loss leads nowhere, or another
        process trains the run.
      KeyboardInterrupt: asked to stop, after a checkpoint.
    """
    config = experiment.config
    directory = run_directory.check(config, experiment.description)
    experiment = deciding.take_up(experiment, directory)
    if run_directory.is_finished(directory) and not config.restart:
        description = experiment.description
        if damage.mend_finished(directory, config, description):
            page = directory / files.REPORT
            if config.report and not page.exists():
                write_report(directory)  # stopped before its last thing
            made = f"; its report: {page}" if page.exists() else ""
            say(f"{directory} is finished{made}")
            return directory
    say(overview(experiment))
    distribution = distributed.make_distribution(config.devices)
    distribution.check_plan(experiment.plan)
    with distribution.watch():
        learner = Learner(
            experiment, distribution.process_directory(directory), distribution
        )
        learner.callbacks = callbacks
        learner.lease.refuse_early()
        learner.build()
        with learner.lease, learner.checkpoints:
            learner.claim()
            learner.resume(directory)
            with StopSignals() as learner.stop:
                for stage in learner.stages():
                    learner.begin(stage)
                    for end in learner.evaluations(stage):
                        learner.evaluate(stage, learner.fit(stage, end))
            finishing.write_results(learner)
            learner.lease.check()
            if config.report:
                say(f"report: {write_report(learner.directory)}")
            else:
                say(f"finished: {learner.directory}")
    return directory


def find_rate(experiment: Experiment) -> lr_curve.Curve:
    """Tests rates on the stage that `--lr=auto` would take; writes the curve.

    Into `--workdir`, where a run may be: `lr_find.csv` and `lr_find.png`.
    """
    config, plan = experiment.config, experiment.plan
    directory = pathlib.Path(config.workdir).expanduser()
    distribution = distributed.make_distribution(config.devices)
    distribution.check_plan(plan)
    learner = Learner(
        experiment, distribution.process_directory(directory), distribution
    )
    learner.build()
    curve = rate_search.test_rates(
        learner, lr_finder.stage_to_test(plan, config.lr)
    )
    say(lr_curve.summary(curve))
    if curve.fell:
        rate = lr_finder.choose_rate(curve, [], config.optimizer)
        say(f"--lr=auto takes {rate:g}")
    say(f"the curve: {lr_curve.write_curve(learner.directory, curve)}")
    return curve
