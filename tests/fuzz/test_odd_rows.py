"""Rows that are odd, and can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from good_rows import GOOD, changed, text_of_bytes
from support.rows import (
    RUN,
    attempt,
    block,
    insert,
    lifecycle,
    node,
    sample,
    status,
    task,
    workflow,
    write,
)
from support.source_harness import SourceHarness

from parsl_exporter.base.tables import NODE, TABLES

# --- odd, and usable ----------------------------------------------------------------------------------------


def test_null_where_a_number_belongs_is_a_sample_that_was_not_taken(folder: Path) -> None:
    nothing = dict.fromkeys(
        (c for c in NODE.columns if c in ("cpu_count", "total_memory", "worker_count")), None
    )
    watched = SourceHarness(write(folder / "a.db", [*GOOD, sample(0, 6), changed(node("m2", 2), **nothing)]))
    assert watched.poll().rejected() == {}
    assert 'parsl_manager_workers{source="s",run_id="run-1",manager="m2"' in watched.page()


def test_unknown_states_are_shown_as_they_are_spelt(folder: Path) -> None:
    story = [
        *GOOD,
        task(1),
        attempt(1),
        status(1, "pending", 0),
        status(1, "retry", 1),
        block("1", "ZOMBIE", 1),
    ]
    watched = SourceHarness(write(folder / "a.db", [*story, task(2), attempt(2), status(2, "Pending", 0)]))
    assert watched.wrong() == []
    assert 'app="add",executor="htex",state="retry"} 1' in watched.page()
    assert 'state="ZOMBIE"} 1' in watched.page()
    assert watched.rejected() == {}


def test_orphans_are_unknown(folder: Path) -> None:
    story = [workflow(completed=20), status(5, "exec_done", 3), sample(6, 3, user=1.0), sample(6, 4, user=2.0),
             attempt(7, host="h"), task(8, "alone"), status(7, "running", 2, run="nobody's")]  # fmt: skip
    watched = SourceHarness(write(folder / "a.db", story))
    assert watched.wrong() == []
    assert watched.rejected() == {}


NAMES = ["line\nbreak", 'quo"te', "back\\slash", "nul\0nul", "x" * 10_000, "x" * 9_999 + "y", "\r\u2028\x85\x1b[31m",
         "\N{SNOWMAN}", "{le=\"1\"}", " ", "\ufffe", "e\u0301", "=cmd", "<script>", 7]  # fmt: skip


def test_any_name_is_a_label_value_of_its_own(folder: Path) -> None:
    story = [workflow(workflow_name=NAMES[0], host=NAMES[1], user=NAMES[2], rundir=NAMES[4])]
    for i, name in enumerate(NAMES):
        text: Any = name
        story += [
            task(i, text),
            attempt(i, executor=text, block=text, host=text, history=text),
            *lifecycle(i, ("pending", 0), ("running", 1), (text, 2)),
            block(text, "RUNNING", 1, executor=text, job=text),
            changed(node(text, 2, host=text, block_id=text), python_v=text),
        ]
    watched = SourceHarness(write(folder / "a.db", story))
    assert watched.wrong() == []
    assert watched.rejected() == {}
    assert "x" * 201 not in watched.page()


@pytest.mark.parametrize("raw", [b"\xff", b"a\xed\xa0\x80b", b"\xc3", b"ok\x00\xfe"])
def test_names_that_are_no_utf_8_are_shown_escaped(folder: Path, raw: bytes) -> None:
    path = write(folder / "a.db", GOOD)
    for table, column in (
        ("task", "task_func_name"),
        ("try", "hostname"),
        ("block", "executor_label"),
        ("node", "uid"),
    ):
        text_of_bytes(path, table, column, raw)
    watched = SourceHarness(path)
    assert watched.wrong() == []
    assert f'app="{raw.decode("utf-8", "backslashreplace")}"'.replace("\\", "\\\\") in watched.page()
    assert watched.rejected() == {}


def test_a_run_whose_id_is_no_utf8_stands_beside_another(folder: Path) -> None:
    """SQLite does not find a text by what it is shown as."""
    path = write(folder / "a.db", GOOD)
    for table in TABLES:
        text_of_bytes(path, table.name, "run_id", b"r\xf6n")
    insert(path, GOOD)
    watched = SourceHarness(path)
    assert watched.wrong() == []
    assert 'run_id="r\\\\xf6n"' in watched.page()
    assert f'run_id="{RUN}"' in watched.page()
    assert watched.rejected() == {}


@pytest.mark.parametrize(
    "written", ["2026-11-01 01:30:00", "2026-03-08 02:30:00", "2026-11-01 01:59:59.999999"]
)
def test_stamps_of_an_hour_that_comes_twice_or_never_are_read_as_the_first(
    folder: Path, written: str
) -> None:
    before, after = "2026-03-07 12:00:00.000000", "2026-11-02 12:00:00.000000"
    story = [
        changed(workflow(), time_began=before),
        task(0),
        attempt(0),
        changed(status(0, "pending", 0), timestamp=before),
        changed(status(0, "running", 0), timestamp=written),
        changed(status(0, "exec_done", 0), timestamp=after),
    ]
    watched = SourceHarness(write(folder / "a.db", story), zone="America/Chicago")
    assert watched.wrong() == []
    assert watched.rejected() == {}


def test_any_amount_of_memory_that_is_finite_adds_up_to_a_number(folder: Path) -> None:
    story = [workflow(completed=20)]
    for i in range(20):
        story += [
            task(i),
            attempt(i, host="h"),
            sample(i, 1, user=-9e299, resident=9e299),
            sample(i, 2, user=9e299),
        ]
        story += lifecycle(i, ("pending", 0), ("running", 1), ("exec_done", 2))
    SourceHarness(write(folder / "a.db", story)).rest().page()  # which refuses NaN and infinity
