"""log.csv: a row an evaluation, whole whatever stops the run."""

import pathlib
from collections.abc import Mapping, Sequence

import keras

from smartgrowth.runs import files


class RunCSVLogger(keras.callbacks.CSVLogger):
    """Keras' CSVLogger with fixed columns, which goes on where a run does.

    An epoch is an evaluation here, and its number the run's step. Keras' own
    truncates the file at every `fit`, takes its columns from the first row, and
    appends to what a killed process left of a line. This one replaces the
    whole file at once with every row.
    """

    def __init__(self, directory: pathlib.Path):
        super().__init__(directory / files.LOG)
        self.directory = directory
        self.rows: list[Mapping] = []

    def restore(self, rows: Sequence[Mapping]) -> None:
        """Begins with the rows up to a checkpoint; later ones come again."""
        self.rows = list(rows)
        if rows:
            files.write_log(self.directory, self.rows)

    def on_train_begin(self, logs=None):
        """Opens nothing: the file is written with its first row."""

    def on_epoch_end(self, epoch, logs=None):
        """Adds a row: a dict of the columns of `files.LOG_COLUMNS`."""
        self.rows.append(dict(logs))
        files.write_log(self.directory, self.rows)

    def on_train_end(self, logs=None):
        """Closes nothing: no file is open between two rows."""
