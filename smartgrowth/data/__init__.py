"""Where images come from: sources, the store on disk, and tf.data batches."""
