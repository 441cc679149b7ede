"""LeNet-5 (LeCun et al. 1998), with ReLU, for images of any size."""

from smartgrowth.models.groups import BODY, HEAD, LAST

GRID = 5  # the published network's last feature map


def lenet5(layers, x, *, num_classes, width, depth, dropout=0.0):
    """Applies two 5x5 convolutions and three dense layers.

    Feature maps are averaged to the published 5x5 before the dense layers, so
    the weights' shapes do not depend on the image size. `width` and `depth`
    are ignored.
    """
    x = layers.group(x, BODY)
    for channels in (6, 16):
        x = layers.relu(layers.conv(x, channels, 5, bias=True))
        x = layers.average_pool(x)
    x = layers.flatten(layers.adaptive_pool(layers.group(x, LAST), GRID))
    for units in (120, 84):
        x = layers.relu(layers.dense(x, units))
    x = layers.group(x, HEAD)
    if dropout:
        x = layers.dropout(x, dropout)
    return layers.logits(layers.dense(x, num_classes))
