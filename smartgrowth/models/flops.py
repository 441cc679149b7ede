"""Reads a network as shapes: its FLOPs and parameters without building it."""

import math


class Cost:
    """What a network costs on images of one size.

    Attributes:
      groups: names of the layer groups, in their order.
      layers: (group, forward FLOPs for one image) of its convolutions and
        matrix products, a multiply-add as 2.
      parameters: the trainable ones of all layers.
    """

    def __init__(self):
        self.groups: list[str] = []
        self.layers: list[tuple[str, int]] = []
        self.parameters = 0

    @property
    def flops(self) -> int:
        """Forward FLOPs of all layers, for one image."""
        return sum(flops for _, flops in self.layers)


class ShapeCounter(Cost):
    """The vocabulary of layers, applied to shapes (height, width, channels).

    Adds up the cost of the layers applied so far.
    """

    def group(self, x, name):
        self.groups.append(name)
        return x

    def _multiply(self, positions: int, weights: int, bias: int) -> None:
        self.layers.append((self.groups[-1], 2 * positions * weights))
        self.parameters += weights + bias

    def conv(self, x, filters, kernel=3, strides=1, groups=1, bias=False):
        height, width, channels = x
        height, width = math.ceil(height / strides), math.ceil(width / strides)
        weights = kernel * kernel * (channels // groups) * filters
        self._multiply(height * width, weights, filters * bias)
        return height, width, filters

    def depthwise(self, x, kernel=3):
        height, width, channels = x
        self._multiply(height * width, kernel * kernel * channels, 0)
        return x

    def dense(self, x, units):
        (features,) = x
        self._multiply(1, features * units, units)
        return (units,)

    def norm(self, x, start_at_zero=False):
        self.parameters += 2 * x[-1]
        return x

    def max_pool(self, x, size=2, strides=2):
        return (*(math.ceil(side / strides) for side in x[:2]), x[2])

    average_pool = max_pool

    def adaptive_pool(self, x, grid):
        return grid, grid, x[2]

    def global_average_pool(self, x):
        return x[2:]

    def flatten(self, x):
        return (math.prod(x),)

    def concatenate(self, a, b):
        return (*a[:2], a[2] + b[2])

    def add(self, a, b):
        return a

    def relu(self, x):
        return x

    def dropout(self, x, rate):
        return x

    def logits(self, x):
        return x
