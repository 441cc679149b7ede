"""Flags in, one mode called.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import pathlib
import sys

from absl import app, flags

from smartgrowth import UserError, config, quiet

# Modes import what they need when they are called: Keras alone takes seconds.


def train(settings: config.Config) -> None:
    data = _open_data(settings)
    quiet.import_backend()
    from smartgrowth import train

    train.train(settings, data)


def plan(settings: config.Config) -> None:
    from smartgrowth import plan

    print(plan.table(plan.plan_run(settings, _open_data(settings))[0]))


def evaluate(settings: config.Config) -> None:
    quiet.import_backend()
    from smartgrowth import predict

    predict.evaluate_run(settings)


def predict(settings: config.Config) -> None:
    quiet.import_backend()
    from smartgrowth import predict

    predict.label_images(settings)


def report(settings: config.Config) -> None:
    from smartgrowth import report

    print(report.write_report(pathlib.Path(settings.workdir).expanduser()))


def audit(settings: config.Config) -> None:
    data = _open_data(settings)
    quiet.import_backend()
    from smartgrowth import audit

    print(audit.table(audit.audit_run(settings, data)))


def _open_data(settings: config.Config):
    from smartgrowth import data, plan

    plan.check_sizes(settings)  # before minutes are spent on a store
    return data.open_data(settings)


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
