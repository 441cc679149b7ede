"""Which classes are taken for which: the matrix, its order, each class.

NumPy and SciPy alone.
"""

import dataclasses

import numpy as np


def confusion_matrix(
    labels: np.ndarray, guesses: np.ndarray, classes: int
) -> np.ndarray:
    """Images by class (rows) and by what they were taken for, int64 (C, C)."""
    pairs = np.asarray(labels) * classes + np.asarray(guesses)
    counts = np.bincount(pairs, minlength=classes * classes)
    return counts.reshape(classes, classes)


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """The matrix as shares of each class's images; rows of zeros stay so."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def clustered_order(matrix: np.ndarray) -> np.ndarray:
    """An order of the classes that puts confused ones beside one another.

    Average linkage of the distance 1 - the share of two classes' images that
    are taken for the other, leaves ordered optimally (Bar-Joseph et al. 2001).
    Returns int64 (C,).
    """
    from scipy.cluster import hierarchy
    from scipy.spatial import distance

    classes = len(matrix)
    if classes < 3 or not (matrix - np.diag(np.diag(matrix))).any():
        return np.arange(classes)
    shares = row_shares(matrix)
    apart = 1 - (shares + shares.T) / 2
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(
        distance.squareform(apart, checks=False),
        "average",
        optimal_ordering=True,
    )
    return hierarchy.leaves_list(tree).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """What became of one class's images.

    accuracy: the share of its images that were recognized (its recall).
    precision: the share of the images taken for it that are of it; NaN if
      there is none.
    rival, mistaken: the class that it was most often taken for instead, and
      how often; None and 0 if never.
    """

    label: int
    images: int
    accuracy: float
    precision: float
    rival: int | None
    mistaken: int


def by_class(matrix: np.ndarray) -> list[ClassFigures]:
    """Figures of every class that has images, the least accurate first."""
    rows = []
    for label in np.flatnonzero(matrix.sum(axis=1)):
        others = matrix[label].copy()
        others[label] = 0
        right, taken = int(matrix[label, label]), int(matrix[:, label].sum())
        rows.append(
            ClassFigures(
                label=int(label),
                images=int(matrix[label].sum()),
                accuracy=right / int(matrix[label].sum()),
                precision=right / taken if taken else float("nan"),
                rival=int(others.argmax()) if others.any() else None,
                mistaken=int(others.max()),
            )
        )
    return sorted(rows, key=lambda row: (row.accuracy, row.label))


def worst_pairs(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """(class, what it was taken for, images), the most frequent first."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = (np.unravel_index(place, wrong.shape) for place in order)
    return [(int(a), int(b), int(wrong[a, b])) for a, b in pairs if wrong[a, b]]
