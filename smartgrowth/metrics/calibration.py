"""Whether a network is as sure as it is right: reliability of confidences.

NumPy alone. After Guo et al., On Calibration of Modern Neural Networks
(1706.04599): confidence is the probability of the likeliest class.
"""

import dataclasses

import numpy as np

BINS = 15  # as in the paper


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Images in equally wide bins of confidence; arrays of (bins,).

    edges: float (bins + 1,), 0 to 1; a bin holds its upper edge.
    counts: int64, images.
    confidence, accuracy: float, means over a bin's images, NaN without any.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1; NaN without any image.

        The gap between confidence and accuracy, a mean over the images.
        """
        if not self.counts.sum():
            return float("nan")
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> Reliability:
    """Bins the confidences of (images, classes) probabilities.

    labels: (images,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a bin is empty
        return Reliability(
            edges=edges,
            counts=counts,
            confidence=np.bincount(place, confidence, bins) / counts,
            accuracy=np.bincount(place, right, bins) / counts,
        )


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """`Reliability.error` of (images, classes) probabilities."""
    return reliability(probabilities, labels, bins).error
