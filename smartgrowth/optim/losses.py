"""Loss and accuracy over the classes that have entered.

The mask travels with the targets: an absent class has target -1. Validation
has none, and there both are the usual ones.
"""

import keras
from keras import ops

# Far below any logit, yet finite: an infinite one times a zero target is NaN.
ABSENT = -1e9


def mask_logits(targets, logits):
    """Logits in float32 (batch, classes), those of absent classes `ABSENT`."""
    return ops.where(targets >= 0, ops.cast(logits, "float32"), ABSENT)


def masked_crossentropy(targets, logits):
    """Cross-entropy in nats, float32 (batch,).

    targets: float32 (batch, classes), a distribution over the classes that
      have entered, -1 for the others.
    """
    log_probabilities = ops.log_softmax(mask_logits(targets, logits))
    return -ops.sum(ops.maximum(targets, 0.0) * log_probabilities, axis=-1)


def masked_accuracy(targets, logits, label_smoothing: float = 0.0):
    """The weight of the likeliest entered class in the label, float32 (batch,).

    Of an image of one class that is plain accuracy, 1 or 0. One mixed of two,
    0.7 of the one and 0.3 of the other, counts 0.7 if the network names the
    first and 0.3 if the second: even the best answer is less than 1.

    label_smoothing: the share of the targets that is spread evenly over the
      entered classes; it is undone.
    """
    best = ops.argmax(mask_logits(targets, logits), axis=-1)
    chosen = ops.one_hot(best, targets.shape[-1], dtype="float32")
    weight = ops.sum(chosen * targets, axis=-1)
    if label_smoothing:
        entered = ops.sum(ops.cast(targets >= 0, "float32"), axis=-1)
        weight = (weight - label_smoothing / entered) / (1 - label_smoothing)
    return weight


def make_accuracy(label_smoothing: float = 0.0) -> keras.metrics.Metric:
    """The running mean of `masked_accuracy`."""
    return keras.metrics.MeanMetricWrapper(
        masked_accuracy, name="accuracy", label_smoothing=label_smoothing
    )
