"""Loss, accuracy and top-5 accuracy of predicted probabilities."""

import dataclasses
import math

import numpy as np

TOP = 5  # of as many classes or fewer, the label always is one


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean cross-entropy in nats; shares of the images, 0 to 1."""

    loss: float
    accuracy: float
    top5: float


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities, float64, over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def score(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray | None = None,
) -> Scores:
    """Scores predicted probabilities against the labels.

    Args:
      probabilities: (images, classes).
      labels: int (images,), the ground truth.
      classes: score only images of these classes, with the probabilities
        normalized over them; None for all.

    Returns:
      The scores; all NaN if there is no image.
    """
    if classes is not None:
        classes = np.sort(classes)
        images = np.isin(labels, classes)
        labels = np.searchsorted(classes, labels[images])
        probabilities = probabilities[images][:, classes]
        total = probabilities.sum(axis=1, keepdims=True)
        probabilities = probabilities / np.maximum(total, 1e-300)
    if not len(labels):
        return Scores(math.nan, math.nan, math.nan)
    of_label = probabilities[np.arange(len(labels)), labels]
    # Ties count as errors, and so do NaNs.
    worse = (probabilities < of_label[:, None]).sum(axis=1)
    better = probabilities.shape[1] - 1 - worse
    return Scores(
        loss=float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        accuracy=float((better == 0).mean()),
        top5=float((better < TOP).mean()),
    )
