"""The published networks that the assignment starts from, for comparison.

He et al. 2015 (1512.03385) and Xie et al. 2016 (1611.05431), with 1x1
convolutions that widen and a dense head, which break the assignment's rules. As
in most later implementations, a bottleneck's stride is in its 3x3 convolution,
and each block's last gain starts at zero. They ignore `width` and `depth`.
"""

from functools import partial

from smartgrowth.models.groups import BODY, HEAD, LAST
from smartgrowth.models.resnet import conv_norm_relu

BLOCKS = (3, 4, 6, 3)


def _basic(layers, x, channels, strides):
    y = conv_norm_relu(layers, x, channels, 3, strides)
    return layers.norm(layers.conv(y, channels), start_at_zero=True)


def _bottleneck(layers, x, channels, strides, inner, groups):
    y = conv_norm_relu(layers, x, inner, 1)
    y = conv_norm_relu(layers, y, inner, 3, strides, groups)
    return layers.norm(layers.conv(y, channels, 1), start_at_zero=True)


def _residual(layers, x, *, num_classes, branch, widths, dropout=0.0):
    """Applies a residual network.

    `branch(layers, x, channels, strides, stage)` is a block's residual branch.
    """
    entering = 64
    x = conv_norm_relu(layers, layers.group(x, BODY), entering, 7, 2)
    x = layers.max_pool(x, 3, 2)
    for stage, (channels, blocks) in enumerate(
        zip(widths, BLOCKS, strict=True)
    ):
        if stage == len(BLOCKS) - 1:
            x = layers.group(x, LAST)
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = branch(layers, x, channels, strides, stage)
            if channels != entering:
                x = layers.norm(layers.conv(x, channels, 1, strides))
                entering = channels
            x = layers.relu(layers.add(x, y))
    x = layers.global_average_pool(layers.group(x, HEAD))
    if dropout:
        x = layers.dropout(x, dropout)
    return layers.logits(layers.dense(x, num_classes))


def resnet34(layers, x, *, num_classes, width, depth, dropout=0.0):
    """Applies ResNet-34; total stride 32."""
    return _residual(
        layers,
        x,
        num_classes=num_classes,
        dropout=dropout,
        widths=(64, 128, 256, 512),
        branch=lambda layers, x, channels, strides, stage: _basic(
            layers, x, channels, strides
        ),
    )


def _bottlenecks(
    layers, x, *, num_classes, width, depth, dropout=0.0, base, groups
):
    return _residual(
        layers,
        x,
        num_classes=num_classes,
        dropout=dropout,
        widths=(256, 512, 1024, 2048),
        branch=lambda layers, x, channels, strides, stage: _bottleneck(
            layers, x, channels, strides, base * 2**stage, groups
        ),
    )


# ResNet-50, and ResNeXt-50 (32x4d): 32 groups in the 3x3 convolutions.
resnet50 = partial(_bottlenecks, base=64, groups=1)
resnext50 = partial(_bottlenecks, base=128, groups=32)
