"""Loss and accuracy over the active classes.

The targets carry the mask: a class that is not active has target -1. Without a
mask, as in validation, both are the usual ones.
"""

import keras
from keras import ops

# Far below any logit, yet finite: an infinite one times a zero target is NaN.
ABSENT = -1e9


def mask_logits(targets, logits):
    """Returns float32 (batch, classes) logits, `ABSENT` for absent classes."""
    return ops.where(targets >= 0, ops.cast(logits, "float32"), ABSENT)


def masked_crossentropy(targets, logits):
    """Returns the cross-entropy in nats, float32 (batch,).

    Args:
      targets: float32 (batch, classes), a distribution over the active
        classes; -1 for the others.
      logits: (batch, classes), of any float dtype.
    """
    log_probabilities = ops.log_softmax(mask_logits(targets, logits))
    return -ops.sum(ops.maximum(targets, 0.0) * log_probabilities, axis=-1)


def masked_accuracy(targets, logits, label_smoothing: float = 0.0):
    """Returns the predicted class's weight in the target, float32 (batch,).

    The prediction is the active class with the largest logit. For an image of
    one class this is plain accuracy, 1 or 0. A mixed image, 0.7 of one class
    and 0.3 of another, counts 0.7 if the first is predicted and 0.3 if the
    second is: its best score is less than 1.

    Args:
      targets: as in `masked_crossentropy`.
      logits: as in `masked_crossentropy`.
      label_smoothing: share of the targets that is spread evenly over the
        active classes; it is undone.
    """
    best = ops.argmax(mask_logits(targets, logits), axis=-1)
    chosen = ops.one_hot(best, targets.shape[-1], dtype="float32")
    weight = ops.sum(chosen * targets, axis=-1)
    if label_smoothing:
        active = ops.sum(ops.cast(targets >= 0, "float32"), axis=-1)
        weight = (weight - label_smoothing / active) / (1 - label_smoothing)
    return weight


def make_accuracy(label_smoothing: float = 0.0) -> keras.metrics.Metric:
    """Returns a metric, the running mean of `masked_accuracy`."""
    return keras.metrics.MeanMetricWrapper(
        masked_accuracy, name="accuracy", label_smoothing=label_smoothing
    )
