"""The default network: a residual network that keeps the assignment's rules.

No 1x1 convolution widens; no dense layer; no dropout unless asked for. At equal
width, convolutions are depthwise-separable. Between stages, the feature map is
pooled and a 3x3 convolution's new channels are concatenated to the old ones.
The head is a 3x3 convolution to the classes, then global average pooling.
"""

from functools import partial

from smartgrowth import UserError
from smartgrowth.models.groups import BODY, HEAD, LAST

STAGES = 4


def resnet(
    layers, x, *, num_classes, width, depth, dropout=0.0, separable=True
):
    """Applies a residual network of 4 stages; total stride 8.

    Args:
      layers: a vocabulary of layers (`KerasLayers` or `ShapeCounter`).
      x: normalized images.
      num_classes: logits.
      width: channels of the first stage, which each further stage doubles; or
        a tuple with those of each stage, none fewer than the one before.
      depth: residual blocks per stage, of two convolutions each; or a tuple
        with those of each stage.
      dropout: rate before the head, 0 for none.
      separable: whether the blocks have depthwise-separable convolutions, or
        else full 3x3 ones.

    Raises:
      UserError: a stage has fewer channels than the one before it.
    """
    channels = widths(width)
    if list(channels) != sorted(channels):
        raise UserError(
            f"--width={','.join(map(str, channels))}: a stage of this network "
            "keeps the channels of the one before it, and cannot have fewer"
        )
    x = conv_norm_relu(layers, layers.group(x, BODY), channels[0])
    for stage, blocks in enumerate(depths(depth)):
        if stage == STAGES - 1:
            x = layers.group(x, LAST)
        if stage:
            # Pooled first: strided convolutions are slow on CPUs in bfloat16
            # (10 x in a depthwise gradient), and the 3x3 costs a quarter.
            x = layers.max_pool(x)
            if new := channels[stage] - channels[stage - 1]:
                x = layers.concatenate(x, conv_norm_relu(layers, x, new))
        for _ in range(blocks):
            x = residual_block(layers, x, channels[stage], separable)
    x = layers.group(x, HEAD)
    if dropout:
        x = layers.dropout(x, dropout)
    x = layers.conv(x, num_classes, bias=True)
    return layers.logits(layers.global_average_pool(x))


def depths(depth: int | tuple[int, ...]) -> tuple[int, ...]:
    """Returns the number of blocks of each stage."""
    return (depth,) * STAGES if isinstance(depth, int) else depth


def widths(width: int | tuple[int, ...]) -> tuple[int, ...]:
    """Returns the number of channels of each stage."""
    if isinstance(width, tuple):
        return width
    return tuple(width * 2**stage for stage in range(STAGES))


def residual_block(layers, x, channels, separable):
    """Applies two convolutions and adds the input (He et al. 2015, 1512.03385).

    The last batch norm's gain starts at zero, so that a block starts as the
    identity (Goyal et al. 2017, 1706.02677).
    """
    y = x
    for last in (False, True):
        if separable:
            y = layers.conv(layers.depthwise(y), channels, kernel=1)
        else:
            y = layers.conv(y, channels)
        y = layers.norm(y, start_at_zero=last)
        y = y if last else layers.relu(y)
    return layers.relu(layers.add(x, y))


def conv_norm_relu(layers, x, channels, kernel=3, strides=1, groups=1):
    """Applies a convolution without bias, batch norm and ReLU."""
    x = layers.conv(x, channels, kernel, strides, groups)
    return layers.relu(layers.norm(x))


resnet_dense = partial(resnet, separable=False)
