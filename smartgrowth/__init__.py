"""smartgrowth: train one image classifier while its world grows.

In a notebook `smartgrowth.train(dataset="glyphs", grow_size=[16, 24, 32])`;
see `api`, where these functions are.
"""

import importlib

__version__ = "0.4.0"
__all__ = ["UserError", "compare", "load_run", "plan", "train"]


def __getattr__(name: str):
    # Not imported here: `--help` needs none of it.
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class UserError(ValueError):
    """A mistake that its maker can mend: `main` prints it as one line.

    The message names the flag, file or value at fault, says what was received
    and ends with the way out.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a traceback.
        return [f"error: {self}"]
