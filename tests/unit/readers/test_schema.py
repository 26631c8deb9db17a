"""What is said of tables that cannot be read: who made them so, and what to do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.source_harness import DATA, PARSL_TABLES, emptied, unpacked

from parsl_exporter.base.errors import SourceFault, SourceToCome
from parsl_exporter.readers.schema import check_schema
from parsl_exporter.readers.sqlite.reader import SqliteReader

SCHEMAS: dict[str, dict[str, str]] = json.loads((DATA / "schemas.json").read_text())
BY_VISUALIZE = (
    "its tables were made by parsl-visualize before the first run, and Parsl records no run in them ("
)
BY_OLD_PARSL = (
    "its tables were made by Parsl before 1.1, which cannot be read, and a later Parsl records no run in them"
)


def columns(maker: str) -> dict[str, frozenset[str]]:
    return {table: frozenset(names.split()) for table, names in SCHEMAS[maker].items()}


def said(schema: dict[str, frozenset[str]]) -> str:
    with pytest.raises(SourceFault) as caught:
        check_schema(schema, "db", put_away="PUT IT AWAY")
    assert caught.value.reason == "schema"
    return str(caught.value).removeprefix("db: ")


@pytest.mark.parametrize("maker", ["parsl 1.1.0", "parsl 2026.10.26"])
def test_nothing_is_wrong_since_1_1(maker: str) -> None:
    check_schema(columns(maker), "db", put_away="")


@pytest.mark.parametrize("maker", ["parsl 0.7.2", "parsl 0.8.0", "parsl 0.9.0", "parsl 1.0.0"])
@pytest.mark.parametrize("later", [False, True], ids=["alone", "a later Parsl ran"])
def test_a_parsl_before_1_1_is_named(maker: str, later: bool) -> None:
    schema = columns("parsl 2026.10.26") | columns(maker) if later else columns(maker)
    assert said(schema).startswith(f"{BY_OLD_PARSL} (")
    assert said(schema).endswith("): PUT IT AWAY")


@pytest.mark.parametrize("maker", [maker for maker in SCHEMAS if maker.startswith("parsl-visualize ")])
@pytest.mark.parametrize("later", [False, True], ids=["alone", "Parsl ran"])
def test_parsl_visualize_is_named_whatever_its_release(maker: str, later: bool) -> None:
    schema = columns("parsl 2026.10.26") | columns(maker) if later else columns(maker)
    assert said(schema).startswith(BY_VISUALIZE)
    assert said(schema).endswith("): PUT IT AWAY")


@pytest.mark.parametrize("there", range(1, len(PARSL_TABLES)))
def test_tables_that_are_just_being_made_are_never_too_old(there: int) -> None:
    schema = dict(sorted(columns("parsl 2026.10.26").items())[:there])
    with pytest.raises(SourceToCome):
        check_schema(schema, "db", put_away="")
    assert said(schema) == (
        f"has {there} of Parsl's 7 tables yet ({', '.join(sorted(schema))});"
        " Parsl makes the others in a moment, or when the next run starts"
    )


def test_before_the_table_that_tells_them_apart_is_there_both_are_named() -> None:
    fault = said({"node": columns("parsl-visualize 2026.10.26")["node"]})
    assert "parsl-visualize" in fault
    assert "Parsl before 1.1" in fault


def test_tables_of_another_program_are_not_called_old() -> None:
    schema = columns("parsl 2026.10.26") | {"task": frozenset({"id", "title", "done"})}
    assert said(schema) == (
        "table task has no run_id, task_id, task_func_name: no table that Parsl made;"
        " give the database that a run's monitoring writes"
    )


def test_the_file_that_parsl_visualize_made_before_a_real_run(tmp_path: Path) -> None:
    path = unpacked(tmp_path / "monitoring.db", "odd/visualize-first-2026.10.26")
    with pytest.raises(SourceFault) as caught:
        SqliteReader(path).changed()
    assert caught.value.reason == "schema"
    assert str(caught.value) == (
        f"{path}: {BY_VISUALIZE}table status has no try_id; table resource has no try_id;"
        " table node has no uid, block_id, timestamp, last_heartbeat): move the file away and start the run again"
    )


def test_whoever_looks_at_each_moment_while_parsl_makes_the_tables_is_told_so(tmp_path: Path) -> None:
    """SQLite commits each CREATE of SQLAlchemy's `create_all` by itself."""
    with closing(sqlite3.connect(emptied(tmp_path / "whole.db"))) as whole:
        statements = [sql for (sql,) in whole.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL")]
    path = tmp_path / "monitoring.db"
    reader = SqliteReader(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA user_version = 1")  # a file with a header
        for statement in statements:
            with pytest.raises(SourceToCome, match=r"Parsl makes (them|the others)"):
                reader.changed()
            writer.execute(statement)
    assert reader.changed()
    reader.close()
