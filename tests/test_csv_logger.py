"""log.csv whatever stops the run: whole rows, fixed columns, none twice."""

import csv

import keras
import pytest

from smartgrowth.runs import files
from smartgrowth.training.csv_logger import RunCSVLogger

pytestmark = pytest.mark.core


def row(step: int, **more) -> dict:
    return dict.fromkeys(files.LOG_COLUMNS, 0.5) | {"step": step} | more


def read(directory) -> list[dict]:
    with (directory / files.LOG).open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_keras_own_logger_and_takes_rows_as_epochs(tmp_path):
    logger = RunCSVLogger(tmp_path)
    assert isinstance(logger, keras.callbacks.CSVLogger)
    logger.on_train_begin()
    assert not list(tmp_path.iterdir())
    for step in (10, 20):
        logger.on_epoch_end(step, row(step))
    logger.on_train_end()
    rows = read(tmp_path)
    assert [each["step"] for each in rows] == ["10", "20"]
    assert tuple(rows[0]) == files.LOG_COLUMNS


def test_a_second_fit_truncates_nothing(tmp_path):
    """As Keras' own does, unless it appends."""
    logger = RunCSVLogger(tmp_path)
    for step in (10, 20):
        logger.on_train_begin()
        logger.on_epoch_end(step, row(step))
        logger.on_train_end()
    assert [each["step"] for each in read(tmp_path)] == ["10", "20"]


def test_a_resumed_run_has_each_row_once(tmp_path):
    """Rows after the checkpoint, and a torn one, come again."""
    logger = RunCSVLogger(tmp_path)
    for step in (10, 20, 30):
        logger.on_epoch_end(step, row(step))
    with (tmp_path / files.LOG).open("a") as file:
        file.write("40,0.5,0.")
    again = RunCSVLogger(tmp_path)
    again.on_train_begin()
    again.restore([row(10), row(20)])
    assert [each["step"] for each in read(tmp_path)] == ["10", "20"]
    again.on_epoch_end(30, row(30))
    assert [each["step"] for each in read(tmp_path)] == ["10", "20", "30"]


def test_a_row_that_cannot_be_written_tears_no_line(tmp_path, monkeypatch):
    """The file keeps its old rows; the next row brings the lost one."""
    logger = RunCSVLogger(tmp_path)
    logger.on_epoch_end(10, row(10))
    before = (tmp_path / files.LOG).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            logger.on_epoch_end(20, row(20))
    assert (tmp_path / files.LOG).read_bytes() == before
    logger.on_epoch_end(30, row(30))
    assert [each["step"] for each in read(tmp_path)] == ["10", "20", "30"]


def test_columns_that_only_some_runs_have_come_last(tmp_path):
    logger = RunCSVLogger(tmp_path)
    raw = dict.fromkeys(files.RAW_COLUMNS, 0.25)
    logger.on_epoch_end(10, row(10, **raw))
    assert tuple(read(tmp_path)[0]) == (*files.LOG_COLUMNS, *files.RAW_COLUMNS)
