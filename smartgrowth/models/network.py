"""The networks, by name, and what they cost.

A network is one function, `network(layers, image, num_classes, width, depth)`,
written against a small vocabulary of layers. With `keras_layers.KerasLayers` it
makes a Keras model; with `flops.ShapeCounter` its cost is counted in plain
arithmetic, so that a plan's cost is known without importing Keras.
"""

import dataclasses
from collections.abc import Callable

from smartgrowth import UserError
from smartgrowth.growth import ALL_LAYERS
from smartgrowth.models import cnn, groups, lenet5, mlp, reference, resnet
from smartgrowth.models.flops import Cost, ShapeCounter


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network function, its total stride, and its stages.

    Image sizes must be multiples of `stride`, or border pixels would be lost.
    A network of several `stages` takes a depth and a width for each of them.
    """

    network: Callable
    stride: int
    stages: int = 1


MODELS = {
    "resnet": Architecture(resnet.resnet, stride=8, stages=resnet.STAGES),
    "resnet_dense": Architecture(
        resnet.resnet_dense, stride=8, stages=resnet.STAGES
    ),
    "resnet34": Architecture(reference.resnet34, stride=32),
    "resnet50": Architecture(reference.resnet50, stride=32),
    "resnext50": Architecture(reference.resnext50, stride=32),
    "cnn": Architecture(cnn.cnn, stride=8, stages=resnet.STAGES),
    "lenet5": Architecture(lenet5.lenet5, stride=4),
    "mlp": Architecture(mlp.mlp, stride=1),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A named network with its dimensions; makes no layer until it is built.

    The reference networks and LeNet-5 ignore `width` and `depth`.

    Attributes:
      name: a key of `MODELS`.
      num_classes: logits of the head.
      width: channels of the first stage, or a tuple with those of each; an
        eighth of a hidden layer's units for `mlp`.
      depth: blocks per stage, or a tuple with the blocks of each; hidden
        layers for `mlp`.
      dropout: rate before the head, and after each hidden layer of `mlp`; 0
        for none.
    """

    name: str
    num_classes: int
    width: int | tuple[int, ...] = 32
    depth: int | tuple[int, ...] = 2
    dropout: float = 0.0

    def __post_init__(self):
        if self.name not in MODELS:
            raise UserError(
                f"--model={self.name} is unknown; known: {', '.join(MODELS)}, "
                "or a function of yours, PATH.py:FUNCTION"
            )
        for flag in ("width", "depth"):
            self._check_list(flag, getattr(self, flag))

    def _check_list(self, flag: str, value: int | tuple[int, ...]) -> None:
        """Raises `UserError` if a list is not one for each stage."""
        stages = MODELS[self.name].stages
        if isinstance(value, tuple) and len(value) != stages:
            several = f", or {stages}, one for each of its stages"
            raise UserError(
                f"--{flag}={','.join(map(str, value))}: --model="
                f"{self.name} takes one number{several if stages > 1 else ''}"
            )

    def flops_per_image(self, size: int) -> int:
        """Returns forward FLOPs for one image of `size` pixels per side.

        Convolutions and matrix products are counted, a multiply-add as 2.
        """
        return self._count(size).flops

    def training_flops(
        self, size: int, first: str = ALL_LAYERS, whitened: bool = False
    ) -> int:
        """Returns the FLOPs of training on one image of `size` pixels.

        Backward is twice forward: once for the weights, once for what they get.
        Of frozen layers nobody computes it, and of the first layer behind them
        only the half for its weights.

        Args:
          first: the layer group from which on layers are trained, or "all".
          whitened: whether the first convolution is fixed.
        """
        layers = self._count(size).layers
        names = self.trained_groups(first)
        trained = [flops for group, flops in layers if group in names]
        backward = 2 * sum(trained)
        if len(trained) < len(layers):
            backward -= trained[0]
        elif whitened:
            backward -= 2 * trained[0]
        return sum(flops for _, flops in layers) + backward

    def frozen_flops(self, size: int, first: str) -> int:
        """Returns forward FLOPs of the layers before a group, for one image."""
        names = self.trained_groups(first)
        return sum(
            flops
            for group, flops in self._count(size).layers
            if group not in names
        )

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the layer groups, in their order."""
        return tuple(self._count(self.stride * 4).groups)

    def trained_groups(self, first: str) -> tuple[str, ...]:
        """Returns the layer groups that train: `first`, or all, and on.

        Raises:
          UserError: there is no such group.
        """
        try:
            return groups.trained_groups(self.group_names, first)
        except ValueError:
            raise UserError(
                f"--grow_trainable={first}: --model={self.name} has the layer "
                f"groups {', '.join(self.group_names)}; name the first one "
                "that trains, or all"
            ) from None

    @property
    def stride(self) -> int:
        """The total stride, which must divide every image size."""
        return MODELS[self.name].stride

    def count_parameters(self) -> int:
        """Returns the number of trainable parameters."""
        return self._count(self.stride * 4).parameters

    def check_size(self, size: int) -> None:
        """Raises `UserError` if the stride does not divide the image size."""
        stride = self.stride
        if size >= stride and size % stride == 0:
            return
        below = max(size // stride, 1) * stride
        above = below if below > size else below + stride
        near = " or ".join(str(s) for s in sorted({below, above}))
        raise UserError(
            f"image size {size} does not suit --model={self.name}, which "
            f"divides it by {stride}; use a multiple of {stride}, such as "
            f"{near}"
        )

    def build(
        self, mean, variance, dtype="float32", stock=False, synchronized=False
    ):
        """Makes the Keras model, from raw RGB in 0..255 to float32 logits.

        Args:
          mean, variance: of the training set's channels, 3 floats each, in
            units of 0..255.
          dtype: a dtype policy's name, such as "mixed_bfloat16".
          stock: only layers that any Keras can load, no fused batch norm.
          synchronized: batch norm over the batch of all TensorFlow devices.

        Returns:
          A `keras.Model` of input (batch, height, width, 3), any height and
          width, and output (batch, num_classes).
        """
        from smartgrowth.models.keras_layers import KerasLayers

        layers = KerasLayers(dtype, stock, synchronized)
        image, x = layers.image_input(mean, variance)
        return layers.model(image, self._apply(layers, x), self.name)

    def plain_copy(self, model):
        """Returns the network anew, in float32, of layers any Keras can load.

        model: built of this network; its normalization of images is kept, its
          weights are not.
        """
        from smartgrowth.models.keras_layers import channel_statistics

        return self.build(*channel_statistics(model), stock=True)

    def _apply(self, layers, image):
        return MODELS[self.name].network(
            layers,
            image,
            num_classes=self.num_classes,
            width=self.width,
            depth=self.depth,
            dropout=self.dropout,
        )

    def _count(self, size: int) -> Cost:
        counter = ShapeCounter()
        self._apply(counter, (size, size, 3))
        return counter
