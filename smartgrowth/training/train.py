"""The driver: for each stage build the dataset, fit, go on with the same model.

What a run is stands in its plan; how far it has come, in `Progress`. Both
outlive the process, so the same command again goes on where it stopped.
"""

import pathlib

from smartgrowth.config import Config
from smartgrowth.data.store import Data
from smartgrowth.experiment import plan_run
from smartgrowth.report.write import write_report
from smartgrowth.runs import files
from smartgrowth.runs.directory import check, is_finished, plan_hash
from smartgrowth.runs.identity import describe_plan, identify
from smartgrowth.runtime import distributed
from smartgrowth.training import lr_finder
from smartgrowth.training.learner import Learner
from smartgrowth.training.signals import StopSignals
from smartgrowth.training.summary import overview


def train(config: Config, data: Data) -> pathlib.Path:
    """Trains, or goes on with, the run that `config` describes.

    Returns:
      The run directory, complete.

    Raises:
      UserError: of a setting, a directory or a loss that leads nowhere.
      KeyboardInterrupt: asked to stop, after a checkpoint.
    """
    plan, network, classes = plan_run(config, data)
    description = describe_plan(plan, identify(config, data))
    directory = check(config, description)
    if is_finished(directory) and not config.restart:
        page = directory / files.REPORT
        if not page.exists():  # stopped before the last thing it does
            write_report(directory)
        print(f"{directory} is finished; its report: {page}")
        return directory
    print(overview(config, plan, data))
    team = distributed.form(config.devices)
    team.check(plan)
    with team.watched():
        learner = Learner(
            config,
            data,
            plan,
            network,
            classes,
            team.folder(directory),
            plan_hash(config, description),
            team,
        )
        learner.claim(description)
        done = learner.resume(directory)
        with StopSignals() as learner.stop:
            for stage in plan.stages_from(done):
                for end in plan.evaluations(stage, done):
                    learner.enter(stage)
                    learner.choose_rate(stage)
                    learner.evaluate(stage, learner.fit(stage, end))
        learner.finish()
        print(f"report: {write_report(learner.directory)}")
    return directory


def find_rate(config: Config, data: Data) -> lr_finder.Curve:
    """Tests rates on the stage that `--lr=auto` would take, and writes it down.

    Into `--workdir`, where a run may be: `lr_find.csv` and `lr_find.png`.
    """
    plan, network, classes = plan_run(config, data)
    directory = pathlib.Path(config.workdir).expanduser()
    team = distributed.form(config.devices)
    team.check(plan)
    learner = Learner(
        config, data, plan, network, classes, team.folder(directory), "", team
    )
    curve = learner.test_rates(lr_finder.stage_to_test(plan, config.lr))
    print(lr_finder.describe(curve))
    if curve.suggestions:
        print(f"--lr=auto takes {lr_finder.choose(curve, []):g}")
    print(f"the curve: {lr_finder.write_curve(learner.directory, curve)}")
    return curve
