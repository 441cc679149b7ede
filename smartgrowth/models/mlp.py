"""A multilayer perceptron on images averaged to a fixed grid."""

from smartgrowth.models.groups import BODY, HEAD, LAST

GRID = 16  # pixels per side of the first layer's input, at any image size


def mlp(layers, x, *, num_classes, width, depth, dropout=0.0):
    """Applies `depth` hidden layers of 8 x `width` units."""
    x = layers.group(x, BODY)
    x = layers.flatten(layers.adaptive_pool(x, GRID))
    for layer in range(depth):
        if layer and layer == depth - 1:
            x = layers.group(x, LAST)
        x = layers.relu(layers.dense(x, 8 * width))
        if dropout:
            x = layers.dropout(x, dropout)
    x = layers.group(x, HEAD)
    return layers.logits(layers.dense(x, num_classes))
