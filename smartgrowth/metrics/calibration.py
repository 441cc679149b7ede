"""Calibration: how close a network's confidence is to its accuracy.

NumPy alone. After Guo et al., On Calibration of Modern Neural Networks
(1706.04599): confidence is the probability of the predicted class.
"""

import dataclasses

import numpy as np

BINS = 15  # as in the paper


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Images in equally wide bins of confidence; arrays of (bins,).

    Attributes:
      edges: float (bins + 1,), 0 to 1; a bin includes its upper edge.
      counts: int64, images per bin.
      confidence: float, mean over a bin's images; NaN if the bin is empty.
      accuracy: float, mean over a bin's images; NaN if the bin is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1; NaN without images.

        It is the mean gap between confidence and accuracy over all images.
        """
        if not self.counts.sum():
            return float("nan")
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> Reliability:
    """Bins images by confidence.

    Args:
      probabilities: (images, classes).
      labels: int (images,), the ground truth.
      bins: how many.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a bin is empty
        return Reliability(
            edges=edges,
            counts=counts,
            confidence=np.bincount(place, confidence, bins) / counts,
            accuracy=np.bincount(place, correct, bins) / counts,
        )


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """Returns `Reliability.error` of (images, classes) probabilities."""
    return reliability(probabilities, labels, bins).error
