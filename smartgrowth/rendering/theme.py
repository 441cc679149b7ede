"""The colors of pages, charts and contact sheets, on light and dark screens.

Everything that has a color takes it from here: figures through matplotlib's
rcParams, pages through CSS variables of the same names.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Theme:
    """The colors of one kind of screen, each as "#rrggbb".

    Attributes:
      paper: behind everything.
      ink: text. soft: text that matters less.
      line: rules of tables and borders. tile: behind a boxed text.
      band: behind a chart, to mark a stage. edge: axes and grids of charts.
      good, bad: marks of a verdict.
      curves: after the palette of Okabe and Ito for the color-blind, at a
        contrast to the paper of 3 to 1 or more; red comes last.
    """

    paper: str
    ink: str
    soft: str
    line: str
    tile: str
    band: str
    edge: str
    good: str
    bad: str
    curves: tuple[str, ...]

    def variables(self) -> dict[str, str]:
        """Returns CSS variables: the fields' names, and c0, c1, … of curves."""
        colors = dataclasses.asdict(self)
        curves = colors.pop("curves")
        return colors | {f"c{n}": color for n, color in enumerate(curves)}


THEMES = {
    "light": Theme(
        paper="#ffffff",
        ink="#24292f",
        soft="#57606a",
        line="#d0d7de",
        tile="#f3f5f8",
        band="#eaeef3",
        edge="#aab2bc",
        good="#1a8f5f",
        bad="#d1453b",
        curves=(
            "#0072b2",
            "#c44e00",
            "#00805e",
            "#9a3d7c",
            "#8a6d00",
            "#5b50c0",
            "#b3261e",
        ),
    ),
    "dark": Theme(
        paper="#1b1f24",
        ink="#dde3ea",
        soft="#a3adb8",
        line="#3d4650",
        tile="#252b32",
        band="#2b323b",
        edge="#5f6a76",
        good="#1a8f5f",
        bad="#d1453b",
        curves=(
            "#56b4e9",
            "#f0953c",
            "#2cc79b",
            "#e59bc6",
            "#e0c341",
            "#aaa2ff",
            "#ff8a80",
        ),
    ),
}
