"""Flags in, one mode called, which imports what it needs: Keras takes seconds.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import sys

from absl import app, flags

from smartgrowth import UserError, config, quiet


def train(settings: config.Config) -> None:
    from smartgrowth import data

    opened = data.open_data(settings)
    quiet.import_backend()
    from smartgrowth import train

    train.train(settings, opened)


def plan(settings: config.Config) -> None:
    from smartgrowth import data, plan

    print(plan.table(plan.plan_run(settings, data.open_data(settings))[0]))


def predict(settings: config.Config) -> None:
    quiet.import_backend()
    from smartgrowth import predict

    predict.MODES[settings.mode](settings)


evaluate = predict


def report(settings: config.Config) -> None:
    from smartgrowth import report

    print(report.write_report(settings.workdir))


def compare(settings: config.Config) -> None:
    from smartgrowth import compare

    compare.compare(settings, *config.comparison_from_flags(flags.FLAGS))


def audit(settings: config.Config) -> None:
    from smartgrowth import data

    opened = data.open_data(settings)
    quiet.import_backend()
    from smartgrowth import audit

    print(audit.table(audit.audit_run(settings, opened)))


def main(arguments: list[str]) -> int:
    """Runs `--mode`; a user's mistake is one line and exit status 1."""
    try:
        settings = config.from_flags(flags.FLAGS, arguments)
        globals()[settings.mode](settings)
    except (UserError, OSError) as error:  # OSError: a disk, say, full
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    config.define_flags()
    flags.adopt_module_key_flags(config)  # for --help
    app.run(main)
