"""Flags in, one mode called.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import sys

from absl import app, flags

from smartgrowth import UserError, command_line, modes
from smartgrowth.compare.settings import Comparison
from smartgrowth.config import GROUPS, Config
from smartgrowth.runtime.reporter import REPORTER


def main(arguments: list[str]) -> int:
    """Runs `--mode`; a user's mistake is one line and exit status 1."""
    try:
        command_line.check_arguments(arguments)
        config = command_line.from_flags(flags.FLAGS)
        if config.mode == "compare":
            comparison = command_line.from_flags(flags.FLAGS, Comparison)
            given = command_line.given_flag_lines(flags.FLAGS)
            modes.compare(config, comparison, given)
        else:
            modes.MODES[config.mode](config)
    except (UserError, OSError) as error:  # OSError: a disk, say, full
        REPORTER.complain(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        REPORTER.complain("\nstopped; the same command goes on")
        return 130
    return 0


if __name__ == "__main__":
    command_line.define_flags(flags.FLAGS, Config, Comparison)
    command_line.define_help(flags.FLAGS, GROUPS | {"Comparison": Comparison})
    app.run(main, [sys.argv[0], *command_line.read_flagfiles(sys.argv[1:])])
