"""The layers that the audit knows, by what they compute. What is in no table is
unknown to it, and refused.
"""

import keras

from smartgrowth.models.keras_layers import (
    FusedBatchNormalization,
    SmallMapDepthwiseConv2D,
)


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _layers(names: str) -> frozenset[type]:
    every = " ".join(
        " ".join(name.replace("*", f"{n}D") for n in (1, 2, 3))
        for name in names.split()
    )
    return frozenset(getattr(keras.layers, name) for name in _names(every))


# Layers are looked up by their exact type: a subclass may compute anything.
CONVOLUTIONS = _layers(
    "Conv* Conv*Transpose DepthwiseConv1D DepthwiseConv2D SeparableConv1D "
    "SeparableConv2D"
) | {SmallMapDepthwiseConv2D}
# Their weights connect every feature with every unit, or, in attention, every
# position is mixed with every other.
FULLY_CONNECTED = _layers(
    "Dense EinsumDense SimpleRNN LSTM GRU MultiHeadAttention "
    "GroupQueryAttention Attention AdditiveAttention"
)
DROPOUT = _layers("Dropout SpatialDropout* AlphaDropout GaussianDropout")
# They apply the layer within: to each step of their input, or as it is.
WRAPPERS = _layers("TimeDistributed SpectralNormalization Bidirectional")
# Each value by itself, or with the statistics of others.
ELEMENTWISE = _layers(
    "Activation ReLU LeakyReLU PReLU ELU Softmax Identity Rescaling "
    "Normalization BatchNormalization LayerNormalization GroupNormalization "
    "RMSNormalization UnitNormalization GaussianNoise ActivityRegularization "
    "Masking Add Subtract Multiply Average Maximum Minimum"
) | {FusedBatchNormalization}
REARRANGING = _layers("Flatten Reshape Permute")
# Without weights, too. Stars stand for 1D, 2D and 3D.
POOLING = _layers(
    "Concatenate RepeatVector Resizing CenterCrop MaxPooling* AveragePooling* "
    "GlobalMaxPooling* GlobalAveragePooling* AdaptiveMaxPooling* "
    "AdaptiveAveragePooling* ZeroPadding* Cropping* UpSampling*"
)
# Of `keras.ops`, by the names that Keras gives their classes.
ELEMENTWISE_OPS = _names(
    "Absolute Abs Add Subtract Multiply Divide TrueDivide Negative Square "
    "Sqrt Rsqrt Power Exp Log Maximum Minimum Clip Cast Relu Relu6 Sigmoid "
    "Silu Gelu Tanh Softmax LogSoftmax Softplus LeakyRelu Elu HardSigmoid "
    "HardSilu"
)
POOLING_OPS = _names(
    "Mean Max Min Sum Var Concatenate GetItem Pad MaxPool AveragePool "
    "ExpandDims Squeeze"
)


def is_dropout(kind: type) -> bool:
    """Whether a class is dropout, or says so: DropPath, DropBlock."""
    return kind in DROPOUT or "drop" in kind.__name__.lower()
