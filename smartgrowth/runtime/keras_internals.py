"""What relies on parts of Keras that are not its public API, in one place."""

import keras


def compile_each_shape(model) -> None:
    """Lets one compiled model train on batches of several shapes.

    Keras' own function would relax to unknown shapes on TensorFlow at the
    second one; this keeps one of them a shape. JAX does so by itself.
    """
    if keras.backend.backend() != "tensorflow":
        return
    functions = {}

    def train_function(iterator):
        batch = next(iterator)
        shape = tuple(batch[0].shape)
        if shape not in functions:
            model.make_train_function(force=True)
            functions[shape] = model.train_function
            model.train_function = train_function
        # Not a tf.data iterator, so that the shapes are the batch's own.
        return functions[shape]([batch])

    model.train_function = train_function
