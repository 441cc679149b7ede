"""smartgrowth: train one image classifier while its world grows."""

__version__ = "0.4.0"


class UserError(ValueError):
    """A mistake that its maker can mend: `main` prints it as one line.

    The message names the flag, file or value at fault, says what was received
    and ends with the way out.
    """
