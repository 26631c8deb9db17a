"""A reader of one file, as tests of it open it."""

from pathlib import Path

import pytest
from support.source_harness import within

from parsl_exporter.base.errors import SourceFault
from parsl_exporter.base.tables import Row, Table
from parsl_exporter.readers.batch import START
from parsl_exporter.readers.sqlite.reader import SqliteReader


def opened(path: Path) -> SqliteReader:
    reader = SqliteReader(path)
    assert reader.changed()
    return reader


def all_rows(reader: SqliteReader, table: Table, skip: frozenset[str] = frozenset()) -> list[Row]:
    rows: list[Row] = []
    after, more = START, True
    while more:
        batch = reader.tail(table, after, skip=skip)
        rows += batch.rows
        after, more = batch.position, batch.more
    return rows


def fault(path: Path) -> tuple[str, str]:
    """The reason and the message, without the path that it begins with."""
    reader = SqliteReader(path)
    with pytest.raises(SourceFault) as caught:
        within(5, reader.changed)
    reader.close()
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return caught.value.reason, text.removeprefix(f"{path}: ")
