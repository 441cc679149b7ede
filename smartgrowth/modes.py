"""What each `--mode` does. Each imports what it needs: Keras takes seconds."""

import os
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.compare.settings import Comparison
from smartgrowth.config import PROCESS_VARIABLES, Config
from smartgrowth.runtime import backend


def train(config: Config) -> None:
    """Trains a run, or goes on with it."""
    from smartgrowth.data.load import open_data

    opened = open_data(config)
    backend.import_backend(config.devices)
    from smartgrowth.training import train

    train.train(config, opened)


def plan(config: Config) -> None:
    """Prints the plan of a run; with --measure, how long it will take."""
    from smartgrowth.data.load import open_data
    from smartgrowth.experiment import plan_run
    from smartgrowth.training.summary import overview, rate_drawing

    opened = open_data(config)
    planned, _, _ = plan_run(config, opened)
    print(overview(config, planned, opened))
    print()
    print(rate_drawing(config, planned))
    if config.measure:
        backend.import_backend()
        from smartgrowth.training import estimate

        print()
        print(estimate.measure(config, opened, planned))


def explore(config: Config) -> None:
    """Writes a page about the dataset, and prints where it is."""
    from smartgrowth.explore.write import explore, open_data

    print(explore(config, open_data(config)))


def lr_find(config: Config) -> None:
    """Tests learning rates, and writes the curve."""
    from smartgrowth.data.load import open_data

    opened = open_data(config)
    backend.import_backend(config.devices)
    from smartgrowth.training import train

    train.find_rate(config, opened)


def evaluate(config: Config) -> None:
    """Evaluates a finished run by several views of each image."""
    backend.import_backend()
    _say_one_device(config)
    from smartgrowth.evaluation import evaluate_run

    evaluate_run.evaluate_run(config)


def predict(config: Config) -> None:
    """Labels images with a finished run."""
    backend.import_backend()
    _say_one_device(config)
    from smartgrowth.evaluation import predict

    predict.label_images(config)


def report(config: Config) -> None:
    """Writes a run's page, and prints where it is."""
    from smartgrowth.report.write import write_report

    print(write_report(config.workdir))


def audit(config: Config) -> None:
    """Prints which of the assignment's rules a network breaks."""
    from smartgrowth.data.load import open_data

    opened = open_data(config)
    backend.import_backend()
    from smartgrowth.experiment import plan_run
    from smartgrowth.models import audit

    plan, network, _ = plan_run(config, opened)
    findings = audit.audit(
        network.build(opened.mean, opened.variance),
        plan.epochs(len(opened.train.labels)),
        config.final_size,
        opened.train.ids,
    )
    print(audit.table(findings))


def compare(
    config: Config, comparison: Comparison, given: Sequence[str]
) -> None:
    """Trains and compares arms.

    given: lines of the flags that were given; they hold for every arm.
    """
    from smartgrowth.compare.run import compare

    present = [name for name in PROCESS_VARIABLES if name in os.environ]
    if present:
        raise UserError(
            f"{present[0]} is set: --mode=compare makes a process of its own "
            "for every run; unset it, or train the runs first and compare them"
        )
    compare(config, comparison, given)


def _say_one_device(config: Config) -> None:
    if config.devices == "all":
        print(f"--devices=all: --mode={config.mode} uses one device")


# --mode -> function of the config; `compare` takes more.
MODES = {
    "train": train,
    "plan": plan,
    "explore": explore,
    "lr_find": lr_find,
    "evaluate": evaluate,
    "predict": predict,
    "report": report,
    "audit": audit,
}
