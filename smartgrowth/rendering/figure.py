"""Figures in two themes, drawn with matplotlib."""

import io
from collections.abc import Callable

# Paper, ink, stage bands, axes, then the curves: after Okabe and Ito's palette
# for the colour-blind, at a contrast of 3 to 1 or more. Strokes differ as well.
THEMES = {
    "light": "#ffffff #24292f #eaeef3 #aab2bc #0072b2 #c44e00 #00805e #9a3d7c"
    " #8a6d00 #5b50c0 #b3261e",
    "dark": "#1b1f24 #dde3ea #2b323b #5f6a76 #56b4e9 #f0953c #2cc79b #e59bc6"
    " #e0c341 #aaa2ff #ff8a80",
}


STROKES = ("o-", "s-", "^--", "D:", "v-.")


WIDTH, HEIGHT = 5.0, 3.6  # inches: two abreast on a laptop, one on a phone


def render(draw_into: Callable, theme: str) -> tuple[bytes, str]:
    """What `draw_into` draws into a figure, as `draw` returns it.

    draw_into: returns the text. Its colours come from rcParams.
    """
    import matplotlib
    from matplotlib.figure import Figure

    paper, ink, band, line, *curves = THEMES[theme].split()
    look = {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "patch.facecolor": band,
        "axes.edgecolor": line,
        "axes.prop_cycle": matplotlib.cycler(color=curves),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        "font.size": 9.5,
    }
    for part in ("text", "xtick", "ytick"):
        look |= {f"{part}.color": ink, "axes.labelcolor": ink}
    with matplotlib.rc_context(look), io.BytesIO() as file:
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        alt = draw_into(figure)
        figure.savefig(file, dpi=180, metadata={"Software": None})
        return file.getvalue(), alt
