"""Which classes are predicted as which: the matrix, its order, each class.

NumPy and SciPy alone.
"""

import dataclasses

import numpy as np


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, classes: int
) -> np.ndarray:
    """Counts images by class (rows) and predicted class (columns).

    Args:
      labels: int (images,), the ground truth.
      predictions: int (images,), the predicted classes.
      classes: how many there are, C.

    Returns:
      int64 (C, C).
    """
    pairs = np.asarray(labels) * classes + np.asarray(predictions)
    counts = np.bincount(pairs, minlength=classes * classes)
    return counts.reshape(classes, classes)


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Divides each row by its sum; a row of zeros stays zero."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def clustered_order(matrix: np.ndarray) -> np.ndarray:
    """Returns an order of the classes that puts confused ones side by side.

    Average linkage, leaves ordered optimally (Bar-Joseph et al. 2001). The
    distance of two classes is 1 minus the share of their images that are
    predicted as the other.

    Returns:
      Classes, int64 (C,).
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
    """How one class's images were predicted.

    Attributes:
      label: the class.
      images: of the class.
      accuracy: share of its images that were predicted correctly (recall).
      precision: share of the images predicted as this class that belong to
        it; NaN if no image was.
      rival: the wrong class that was predicted most often; None without
        errors.
      mistaken: images that were predicted as `rival`; 0 without errors.
    """

    label: int
    images: int
    accuracy: float
    precision: float
    rival: int | None
    mistaken: int


def by_class(matrix: np.ndarray) -> list[ClassFigures]:
    """Returns figures of every class with images, the least accurate first."""
    rows = []
    for label in np.flatnonzero(matrix.sum(axis=1)):
        others = matrix[label].copy()
        others[label] = 0
        correct = int(matrix[label, label])
        predicted = int(matrix[:, label].sum())
        rows.append(
            ClassFigures(
                label=int(label),
                images=int(matrix[label].sum()),
                accuracy=correct / int(matrix[label].sum()),
                precision=correct / predicted if predicted else float("nan"),
                rival=int(others.argmax()) if others.any() else None,
                mistaken=int(others.max()),
            )
        )
    return sorted(rows, key=lambda row: (row.accuracy, row.label))


def worst_pairs(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """Returns (class, predicted class, images), the most frequent first."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = np.unravel_index(order[wrong.flat[order] > 0], wrong.shape)
    columns = (*pairs, wrong[pairs])
    return list(zip(*(column.tolist() for column in columns), strict=True))
