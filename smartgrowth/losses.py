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


def masked_accuracy(targets, logits):
    """1.0 where the likeliest entered class has the largest target."""
    best = ops.argmax(mask_logits(targets, logits), axis=-1)
    hit = ops.equal(best, ops.argmax(targets, axis=-1))
    return ops.cast(hit, "float32")


def make_accuracy() -> keras.metrics.Metric:
    """The running mean of `masked_accuracy`."""
    return keras.metrics.MeanMetricWrapper(masked_accuracy, name="accuracy")
