"""Heat maps over images: where in them something is found.

NumPy and Pillow alone.
"""

import numpy as np
from PIL import Image

from smartgrowth.rendering.contact_sheet import fit

# From the palette of Okabe and Ito: beside gray, anyone tells it.
HUE = (230, 159, 0)
STRONGEST = 0.7  # share of the hue where the map is highest
# Of the gray below, so that black and white leave room for the hue.
LOW, HIGH = 24, 232


def blend(image: np.ndarray, heat: np.ndarray, side: int) -> np.ndarray:
    """Draws a heat map over an image that has turned gray.

    Args:
      image: uint8 (height, width, 3).
      heat: float (rows, columns), of the same whole image. Its lowest value is
        drawn as none, its highest as full; if all are alike, all as none.
      side: pixels of the result's longer side, enlarged or shrunk to it.

    Returns:
      uint8 (height, width, 3).
    """
    picture = fit(image, side, enlarge=True)
    gray = np.asarray(picture.convert("L"), np.float32)[..., None] / 255
    gray = LOW + (HIGH - LOW) * gray
    share = STRONGEST * _enlarge(_normalize(heat), picture.size)[..., None]
    blended = (1 - share) * gray + share * np.array(HUE, np.float32)
    return np.rint(blended).astype(np.uint8)


def _normalize(heat: np.ndarray) -> np.ndarray:
    """Returns the map from 0 to 1; what is not finite counts as 0."""
    heat = np.asarray(heat, np.float32)
    finite = np.isfinite(heat)
    if not finite.any():
        return np.zeros_like(heat)
    low, high = heat[finite].min(), heat[finite].max()
    if low == high:
        return np.zeros_like(heat)
    return np.where(finite, (heat - low) / (high - low), 0).astype(np.float32)


def _enlarge(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the map at (width, height) in pixels, smooth between places."""
    smooth = Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth), 0, 1)
