"""Class activation maps (Zhou et al. 2016, 1512.04150), without gradients.

Where a network's logits are global averages of a feature map, what each place
adds to a logit is known exactly. The map of a class has these summands; their
mean is the logit.
"""

import dataclasses

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class MappedModel:
    """A network that gives its feature maps beside its logits, in one pass.

    Attributes:
      model: images -> [logits (N, C), features (N, height, width, channels)].
      dense: the layer from the features' averages to the logits; None if the
        features are the maps, a channel per class.
    """

    model: keras.Model
    dense: keras.layers.Dense | None

    def maps(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Returns the map of one class for each image.

        Args:
          features: (N, height, width, channels), as the model gives them.
          classes: int (N,).

        Returns:
          float32 (N, height, width), in the units of the logits.
        """
        features = np.asarray(features).astype(np.float32)
        if self.dense is None:
            every = np.arange(len(classes))
            return features[every, :, :, classes]
        kernel = keras.ops.convert_to_numpy(self.dense.kernel)
        of_class = kernel.T[classes].astype(np.float32)
        maps = np.einsum("nhwc,nc->nhw", features, of_class)
        if self.dense.use_bias:
            bias = keras.ops.convert_to_numpy(self.dense.bias)
            maps += bias[classes, None, None].astype(np.float32)
        return maps


def map_model(model: keras.Model) -> MappedModel | None:
    """Returns a network with its feature maps; None if it has no such maps.

    It has them if it ends in a global average of a feature map, followed by at
    most one dense layer and by layers that leave their input as it is when
    images are judged. The variables are those of `model`, which stays as it is.
    """
    if len(getattr(model, "outputs", None) or ()) != 1:
        return None
    makers, dense = _makers(model), None
    tensor = model.outputs[0]
    while layer := makers.get(id(tensor)):
        if type(layer) is keras.layers.GlobalAveragePooling2D:
            if layer.data_format != "channels_last" or layer.keepdims:
                return None
            outputs = [model.outputs[0], layer.input]
            return MappedModel(keras.Model(model.inputs, outputs), dense)
        if type(layer) is keras.layers.Dense and dense is None:
            if layer.activation is not keras.activations.linear:
                return None
            dense = layer
        elif not _is_identity(layer):
            return None
        tensor = layer.input
    return None


def _makers(model: keras.Model) -> dict[int, keras.Layer]:
    """Returns the layers by the identity of the tensor that each makes."""
    makers = {}
    for layer in model.layers:
        try:
            makers[id(layer.output)] = layer
        except (AttributeError, ValueError):  # it is used more than once
            continue
    return makers


def _is_identity(layer: keras.Layer) -> bool:
    """Returns whether a layer leaves its input as it is, but in training."""
    if type(layer) is keras.layers.Activation:
        return layer.activation is keras.activations.linear
    return type(layer) is keras.layers.Dropout
