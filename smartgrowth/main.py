"""Flags in, one mode called.

python -m smartgrowth.main --flagfile=configs/h3.flags --dataset=cifar10
"""

import sys

from absl import app, flags

from smartgrowth import UserError, command_line, modes
from smartgrowth.runtime.reporter import REPORTER


def main(arguments: list[str]) -> int:
    """Runs `--mode`; a user's mistake is one line and exit status 1."""
    try:
        settings = command_line.from_flags(flags.FLAGS, arguments)
        if settings.mode == "compare":
            modes.compare(settings, flags.FLAGS)
        else:
            modes.MODES[settings.mode](settings)
    except (UserError, OSError) as error:  # OSError: a disk, say, full
        REPORTER.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    command_line.define_flags()
    flags.adopt_module_key_flags(command_line)  # for --help
    app.run(main)
