"""Flags in, one mode called.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import gc
import os
import sys

if __name__ == "__main__" and sys.path[0] == os.getcwd():  # noqa: PTH109
    # A user's random.py beside the data must not pass for Python's own.
    sys.path.pop(0)

from absl import app, flags

from smartgrowth import UserError, command_line, modes
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import GROUPS, Config
from smartgrowth.runtime import surroundings
from smartgrowth.runtime.reporter import REPORTER


def parse(arguments: list[str]) -> list[str]:
    """Sets absl's flags; returns what is left over. A mistake ends it."""
    try:
        arguments = command_line.expand_flagfiles(arguments)
    except UserError as error:
        REPORTER.complain(f"error: {error}")
        sys.exit(1)
    return app.parse_flags_with_usage(arguments)


def main(arguments: list[str]) -> int:
    """Runs `--mode`; a user's mistake is one line and exit status 1."""
    try:
        surroundings.settle()
        command_line.check_arguments(arguments)
        config = command_line.from_flags(flags.FLAGS)
        if config.mode == "compare":
            comparison = command_line.from_flags(flags.FLAGS, Comparison)
            given = command_line.given_flag_lines(flags.FLAGS)
            modes.compare(config, comparison, given)
        elif config.mode in ("evaluate", "export"):
            given = flags.FLAGS["dataset"].present
            mode = getattr(modes, config.mode)
            mode(config, config.dataset if given else None)
        else:
            modes.MODES[config.mode](config)
    except (UserError, OSError) as error:  # OSError: a disk, say, full
        REPORTER.complain(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        REPORTER.complain("\nstopped; the same command goes on")
        return 130
    finally:
        gc.freeze()  # the process ends: what it leaves need not be sorted
    return 0


if __name__ == "__main__":
    command_line.define_flags(flags.FLAGS, Config, Comparison)
    command_line.define_help(flags.FLAGS, GROUPS | {"Comparison": Comparison})
    app.run(main, flags_parser=parse)
