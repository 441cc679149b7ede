"""What each `--mode` does. Each imports what it needs: Keras takes seconds."""

import os

from absl import flags

from smartgrowth import UserError, command_line, quiet
from smartgrowth.config import PROCESS_VARIABLES, Config


def train(settings: Config) -> None:
    from smartgrowth import data

    opened = data.open_data(settings)
    quiet.import_backend(settings.devices)
    from smartgrowth import train

    train.train(settings, opened)


def plan(settings: Config) -> None:
    from smartgrowth import data, prepare

    opened = data.open_data(settings)
    planned, _, _ = prepare.plan_run(settings, opened)
    print(prepare.overview(settings, planned, opened))
    print()
    print(prepare.rate_drawing(settings, planned))
    if settings.measure:
        quiet.import_backend()
        from smartgrowth import speed

        print()
        print(speed.measure(settings, opened, planned))


def explore(settings: Config) -> None:
    from smartgrowth import explore

    print(explore.explore(settings, explore.open_data(settings)))


def lr_find(settings: Config) -> None:
    from smartgrowth import data

    opened = data.open_data(settings)
    quiet.import_backend(settings.devices)
    from smartgrowth import train

    train.find_rate(settings, opened)


def evaluate(settings: Config) -> None:
    quiet.import_backend()
    _say_one_device(settings)
    from smartgrowth import evaluation

    evaluation.evaluate_run(settings)


def predict(settings: Config) -> None:
    quiet.import_backend()
    _say_one_device(settings)
    from smartgrowth import predict

    predict.label_images(settings)


def report(settings: Config) -> None:
    from smartgrowth import report

    print(report.write_report(settings.workdir))


def audit(settings: Config) -> None:
    from smartgrowth import data

    opened = data.open_data(settings)
    quiet.import_backend()
    from smartgrowth import audit

    print(audit.table(audit.audit_run(settings, opened)))


def compare(settings: Config, values: flags.FlagValues) -> None:
    """values: parsed flags; which of them were given matters to the arms."""
    from smartgrowth import compare

    told = [name for name in os.environ if name in PROCESS_VARIABLES]
    if told:
        raise UserError(
            f"{told[0]} is set: --mode=compare makes a process of its own for "
            "every run; unset it, or train the runs first and compare them"
        )
    compare.compare(settings, *command_line.comparison_from_flags(values))


def _say_one_device(settings: Config) -> None:
    if settings.devices == "all":
        print(f"--devices=all: --mode={settings.mode} uses one device")


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
