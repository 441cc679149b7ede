"""Color and edge features of images over a coarse grid, in NumPy alone.

Images in, float32 rows out, image by image; `descriptors` uses them.
"""

import numpy as np

GRID = 4  # cells along a side
LEVELS = 4  # of each channel in the color histogram
ORIENTATIONS = 8  # of gradients, over half a turn
# Brightness, red to green, yellow to blue: a column each.
OPPONENTS = np.array(
    [[1 / 3, 1 / 2, -1 / 4], [1 / 3, -1 / 2, -1 / 4], [1 / 3, 0, 1 / 2]],
    np.float32,
)
CLIP = 0.2  # of a block's gradients, so that no edge outweighs all others


def colors_and_edges(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns three kinds of features, float32 (N, F) each.

    Args:
      images: uint8 (N, side, side, 3) RGB.
    """
    scaled = images.astype(np.float32) / 255
    return (
        grid_colors(scaled),
        color_histogram(images),
        gradient_histogram(scaled),
    )


def grid_means(values: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Returns the mean in each cell of a grid.

    Args:
      values: float32 (N, side, side, C), of any side.
      grid: cells along a side.

    Returns:
      float32 (N, grid, grid, C).
    """
    count, side, _, channels = values.shape
    cells = _cells(side, grid) == np.arange(grid)[:, None]
    pool = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    pool = pool.astype(np.float32)
    rows = pool @ values.reshape(count, side, side * channels)
    return pool @ rows.reshape(count, grid, side, channels)


def grid_colors(images: np.ndarray) -> np.ndarray:
    """Returns mean and standard deviation of color in each cell.

    The three color axes are brightness, red to green, and yellow to blue.

    Args:
      images: float32 (N, side, side, 3), 0..1.

    Returns:
      float32 (N, 6 * GRID**2).
    """
    colors = images @ OPPONENTS
    means = grid_means(colors)
    variances = grid_means(colors**2) - means**2
    spreads = np.sqrt(np.maximum(variances, 0))
    return np.moveaxis(np.stack([means, spreads]), 0, 1).reshape(
        len(images), -1
    )


def color_histogram(images: np.ndarray) -> np.ndarray:
    """Returns square roots of the shares of LEVELS**3 colors in the image.

    With square roots, Euclidean distance is Hellinger's, and large areas do
    not outweigh all others.

    Args:
      images: uint8 (N, side, side, 3).

    Returns:
      float32 (N, LEVELS**3).
    """
    red, green, blue = np.moveaxis(
        images.astype(np.intp) * LEVELS // 256, -1, 0
    )
    colors = ((red * LEVELS + green) * LEVELS + blue).reshape(len(images), -1)
    counts = _count(colors, LEVELS**3)
    return np.sqrt(counts / colors.shape[1]).astype(np.float32)


def gradient_histogram(images: np.ndarray) -> np.ndarray:
    """Returns histograms of oriented gradients (Dalal and Triggs 2005).

    Orientations are unsigned, and each gradient is shared by the nearest two.
    Blocks of 2 x 2 cells overlap; each is normalized, clipped and normalized
    again.

    Args:
      images: float32 (N, side, side, 3), 0..1.

    Returns:
      float32 (N, (GRID - 1)**2 * 4 * ORIENTATIONS).
    """
    side = images.shape[1]
    padded = np.pad(images.mean(-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) * np.float32(ORIENTATIONS / np.pi)
    below = np.floor(angle)
    share = strength * (angle - below)  # of the orientation above
    below = below.astype(np.intp) % ORIENTATIONS
    above = (below + 1) % ORIENTATIONS
    cells = _cells(side)
    cells = (cells[:, None] * GRID + cells) * ORIENTATIONS
    flat, length = (len(images), side * side), GRID**2 * ORIENTATIONS
    votes = _count((cells + below).reshape(flat), length, strength - share)
    votes += _count((cells + above).reshape(flat), length, share)
    votes = votes.reshape(-1, GRID, GRID, ORIENTATIONS).astype(np.float32)
    blocks = np.concatenate(
        [
            votes[:, row : row + GRID - 1, column : column + GRID - 1]
            for row in (0, 1)
            for column in (0, 1)
        ],
        axis=-1,
    )
    # As if a gradient of 0.02 were everywhere, so that noise is no edge.
    blocks = normalize(blocks, 0.02 * (2 * side / GRID) ** 2)
    blocks = normalize(np.minimum(blocks, CLIP), 1e-2)
    return blocks.reshape(len(images), -1)


def normalize(blocks: np.ndarray, least: float) -> np.ndarray:
    """Divides by the length along the last axis, or by `least` if larger."""
    squares = np.sum(blocks**2, axis=-1, keepdims=True)
    return blocks / np.sqrt(squares + least**2)


def _cells(side: int, grid: int = GRID) -> np.ndarray:
    """Returns the grid row or column of each pixel, int (side,)."""
    return np.arange(side) * grid // side


def _count(codes: np.ndarray, length: int, weights=None) -> np.ndarray:
    """Counts each code from 0 to length - 1 in each row.

    Args:
      codes: int (N, P).
      length: how many codes there are.
      weights: of each code, (N, P); None for 1.

    Returns:
      (N, length).
    """
    codes = codes + length * np.arange(len(codes))[:, None]
    if weights is not None:
        weights = weights.ravel()
    counts = np.bincount(codes.ravel(), weights, length * len(codes))
    return counts.reshape(-1, length)
