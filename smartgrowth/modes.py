"""What each `--mode` does. Each imports what it needs: Keras takes seconds."""

import os

from absl import flags

from smartgrowth import UserError, command_line
from smartgrowth.config import PROCESS_VARIABLES, Config
from smartgrowth.runtime import backend
from smartgrowth.runtime.reporter import say


def train(settings: Config) -> None:
    from smartgrowth.data.load import open_data

    opened = open_data(settings)
    backend.import_backend()
    from smartgrowth.runtime import distributed

    distributed.join(settings.devices)  # before anything asks for devices
    backend.find_devices()
    from smartgrowth.training import train

    train.train(settings, opened)


def plan(settings: Config) -> None:
    from smartgrowth.data.load import open_data
    from smartgrowth.experiment import plan_run
    from smartgrowth.training.summary import overview, rate_drawing

    opened = open_data(settings)
    planned, _, _ = plan_run(settings, opened)
    say(overview(settings, planned, opened))
    say()
    say(rate_drawing(settings, planned))
    if settings.measure:
        backend.import_backend()
        backend.find_devices()
        from smartgrowth.training import estimate

        say()
        say(estimate.measure(settings, opened, planned))


def explore(settings: Config) -> None:
    from smartgrowth.explore.write import explore, open_data

    say(explore(settings, open_data(settings)))


def lr_find(settings: Config) -> None:
    from smartgrowth.data.load import open_data

    opened = open_data(settings)
    backend.import_backend()
    from smartgrowth.runtime import distributed

    distributed.join(settings.devices)  # before anything asks for devices
    backend.find_devices()
    from smartgrowth.training import train

    train.find_rate(settings, opened)


def evaluate(settings: Config) -> None:
    backend.import_backend()
    backend.find_devices()
    _say_one_device(settings)
    from smartgrowth.evaluation import evaluate_run

    evaluate_run.evaluate_run(settings)


def predict(settings: Config) -> None:
    backend.import_backend()
    backend.find_devices()
    _say_one_device(settings)
    from smartgrowth.evaluation import predict

    predict.label_images(settings)


def report(settings: Config) -> None:
    from smartgrowth.report.write import write_report

    say(write_report(settings.workdir))


def audit(settings: Config) -> None:
    from smartgrowth.data.load import open_data

    opened = open_data(settings)
    backend.import_backend()
    backend.find_devices()
    from smartgrowth.experiment import plan_run
    from smartgrowth.models import audit

    plan, network, _ = plan_run(settings, opened)
    findings = audit.audit(
        network.build(opened.mean, opened.variance),
        plan.epochs(len(opened.train.labels)),
        settings.final_size,
        opened.train.ids,
    )
    say(audit.table(findings))


def compare(settings: Config, values: flags.FlagValues) -> None:
    """values: parsed flags; which of them were given matters to the arms."""
    from smartgrowth.compare.run import compare

    told = [name for name in os.environ if name in PROCESS_VARIABLES]
    if told:
        raise UserError(
            f"{told[0]} is set: --mode=compare makes a process of its own for "
            "every run; unset it, or train the runs first and compare them"
        )
    compare(settings, *command_line.comparison_from_flags(values))


def _say_one_device(settings: Config) -> None:
    if settings.devices == "all":
        say(f"--devices=all: --mode={settings.mode} uses one device")


# --mode -> function of the settings; `compare` takes the flags besides.
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
