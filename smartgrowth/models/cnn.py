"""A plain convolutional network without shortcuts, a control for ResNet."""

from smartgrowth.models.groups import BODY, HEAD, LAST
from smartgrowth.models.resnet import STAGES, conv_norm_relu, depths, widths


def cnn(layers, x, *, num_classes, width, depth, dropout=0.0):
    """Applies 4 stages of `depth` 3x3 convolutions; total stride 8.

    depth: of all stages, or a tuple with one depth a stage. width: channels of
    the first stage, which each further stage doubles, or a tuple likewise.
    """
    x, channels = layers.group(x, BODY), widths(width)
    for stage, convolutions in enumerate(depths(depth)):
        if stage == STAGES - 1:
            x = layers.group(x, LAST)
        if stage:
            x = layers.max_pool(x)
        for _ in range(convolutions):
            x = conv_norm_relu(layers, x, channels[stage])
    x = layers.group(x, HEAD)
    if dropout:
        x = layers.dropout(x, dropout)
    x = layers.conv(x, num_classes, bias=True)
    return layers.logits(layers.global_average_pool(x))
