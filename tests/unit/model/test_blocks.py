"""Blocks: the latest row counts, and changes of state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.blocks import Block, Entry


def rows(*states: str) -> list[Entry]:
    """A row a second, in the order of insertion."""
    return [Entry(i + 1, i * 1_000_000, state, f"job{i}") for i, state in enumerate(states)]


def taken(entries: list[Entry]) -> Block:
    block = Block()
    for entry in entries:
        block.take(entry)
    return block


def changes(block: Block) -> list[tuple[str, int]]:
    return [(entry.state, entry.us // 1_000_000) for entry in block.changes()]


def test_a_block_is_its_latest_row() -> None:
    block = taken(rows("PENDING", "RUNNING"))
    assert (block.state, block.job_id, block.ended_us()) == ("RUNNING", "job1", None)


def test_the_latest_row_is_the_last_inserted_whatever_its_stamp() -> None:
    block = taken([Entry(1, 9, "PENDING", "j"), Entry(2, 4, "CANCELLED", "j")])
    assert (block.state, block.ended_us()) == ("CANCELLED", 4)


def test_repeated_rows_are_no_change_and_the_first_of_them_counts() -> None:
    block = taken(rows("PENDING", "PENDING", "PENDING", "RUNNING", "RUNNING", "PENDING", "RUNNING"))
    assert changes(block) == [("PENDING", 0), ("RUNNING", 3), ("PENDING", 5), ("RUNNING", 6)]


def test_the_first_row_is_a_change() -> None:
    assert changes(taken(rows("RUNNING"))) == [("RUNNING", 0)]
    assert changes(taken(rows("HELD", "RUNNING", "HELD"))) == [("HELD", 0), ("RUNNING", 1), ("HELD", 2)]


def test_it_waited_from_the_first_pending_to_the_first_running() -> None:
    assert taken(rows("PENDING", "PENDING", "RUNNING", "PENDING", "RUNNING")).queued_us() == 2_000_000
    assert taken(rows("RUNNING")).queued_us() is None
    assert taken(rows("PENDING", "FAILED")).queued_us() is None


def test_a_block_that_only_tries_name_has_no_state() -> None:
    assert (Block().state, Block().job_id, Block().changes()) == (None, "unknown", [])


def test_a_block_that_stays_as_it_is_costs_no_more_than_two_rows() -> None:
    assert len(taken(rows(*["RUNNING"] * 1_000)).entries) == 2


@settings(deadline=None)
@given(st.lists(st.sampled_from(["PENDING", "RUNNING", "HELD"]), max_size=8), st.data())
def test_rows_told_twice_change_nothing(states: list[str], data: st.DataObject) -> None:
    entries = rows(*states)
    twice = [entry for entry in entries for _ in range(data.draw(st.integers(1, 2)))]
    assert changes(taken(twice)) == changes(taken(entries))
