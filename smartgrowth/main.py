"""Flags in, one mode called.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import os
import sys

# Before TensorFlow is imported: its start-up notes are not for users.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

from smartgrowth import UserError, config

# Modes import what they need when they are called: Keras alone takes seconds.


def train(settings: config.Config) -> None:
    from smartgrowth import data, train

    train.train(settings, data.open_data(settings))


def plan(settings: config.Config) -> None:
    from smartgrowth import data, plan

    print(plan.table(plan.plan_run(settings, data.open_data(settings))[0]))


def evaluate(settings: config.Config) -> None:
    from smartgrowth import predict

    predict.evaluate_run(settings)


def predict(settings: config.Config) -> None:
    from smartgrowth import predict

    predict.label_images(settings)


def report(settings: config.Config) -> None:
    import pathlib

    from smartgrowth import report

    print(report.write_report(pathlib.Path(settings.workdir).expanduser()))


def audit(settings: config.Config) -> None:
    from smartgrowth import audit, data, plan

    opened = data.open_data(settings)
    run, network, _ = plan.plan_run(settings, opened)
    findings = audit.audit(
        network.build(opened.mean, opened.variance),
        run.epochs(len(opened.train.labels)),
        settings.final_size,
    )
    print(audit.table(findings))


def main(arguments: list[str]) -> int:
    """Runs `--mode`; a user's mistake is one line and exit status 1."""
    try:
        if len(arguments) > 1:
            raise UserError(
                f"stray argument {arguments[1]!r}; settings are given as "
                "--name=value, comments in a flagfile begin with #"
            )
        settings = config.from_flags(flags.FLAGS)
        globals()[settings.mode](settings)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    config.define_flags()
    app.run(main)
