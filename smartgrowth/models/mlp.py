"""A multilayer perceptron on images averaged to a fixed grid."""

GRID = 16  # pixels per side of the first layer's input, at any image size


def mlp(layers, x, *, num_classes, width, depth, dropout=0.0):
    """Applies `depth` hidden layers of 8 x `width` units."""
    x = layers.flatten(layers.adaptive_pool(x, GRID))
    for _ in range(depth):
        x = layers.relu(layers.dense(x, 8 * width))
        if dropout:
            x = layers.dropout(x, dropout)
    return layers.logits(layers.dense(x, num_classes))
