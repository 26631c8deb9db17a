"""Whatever rows hold: the usable ones are shown, the others counted."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

from good_rows import GOOD, changed, watched_in_polls
from hypothesis import given
from hypothesis import strategies as st
from support.cases import cases
from support.rows import (
    Told,
    attempt,
    block,
    node,
    sample,
    stamp,
    status,
    task,
    workflow,
    write,
)
from support.source_harness import SourceHarness, in_memory

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW

# --- any row ------------------------------------------------------------------------------------------------

POOL = [
    *GOOD,
    *(changed(row, run_id="run-2") for row in GOOD),
    *(
        status(1, state, 5, try_id)
        for state in ("pending", "running", "fail_retryable", "joining")
        for try_id in (0, 1)
    ),
    *(attempt(1, try_id, history="ValueError('x')") for try_id in (0, 1)),
    workflow(completed=60),
    task(1, "other"),
    sample(1, 6, 1),
    sample(1, 6, 1, user=5.0, system=1),
    block("0", "FAILED", 9),
    node("m1", 9, active=False),
]
ODD = st.sampled_from(
    [None, "", 0, 1, -1, 2**63 - 1, -(2**63), 0.5, 1e308, math.inf, stamp(3), "running", b"", "run-1"]
)
ANY = st.one_of(
    ODD,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False).filter(
        lambda number: number % 1 != 0
    ),  # SQLite keeps 1.0 in Parsl's columns as 1
    st.text(max_size=20),
    st.binary(max_size=20),
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)).map(str),
)


def spoilt(row: Told, changes: list[tuple[int, Any]]) -> Told:
    columns = row.table.columns
    return changed(row, **{columns[place % len(columns)]: value for place, value in changes})


ROWS = st.lists(
    st.builds(spoilt, st.sampled_from(POOL), st.lists(st.tuples(st.integers(0, 12), ANY), max_size=2)),
    min_size=1,
    max_size=12,
)


def is_stamp(value: Any) -> bool:
    """Say whether a value is an ISO time after 1970: the zone of these tests is UTC."""
    if not isinstance(value, str):
        return False
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() >= 0
    except (ValueError, OverflowError):
        return False


def is_id(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and abs(value) < 1e300)


NUMBERS = {
    RESOURCE: [column for column in RESOURCE.columns if column.startswith("psutil")],
    NODE: ["cpu_count", "total_memory", "active", "worker_count"],
}


def usable(row: Told) -> bool:
    """What a row needs to be of use."""
    table, get = row.table, row.values.get
    keyed = isinstance(get("run_id"), str) and get("run_id") != ""
    if table in (TASK, TRY, STATUS, RESOURCE):
        keyed = keyed and is_id(get("task_id")) and (table is TASK or is_id(get("try_id")))
    if table is BLOCK:
        keyed = keyed and get("block_id") not in (None, "")
    if table is NODE:
        keyed = keyed and get("uid") not in (None, "")
    timed = table in (TASK, TRY) or is_stamp(get("time_began" if table is WORKFLOW else "timestamp"))
    ended = get("time_completed") in (None, "") or is_stamp(get("time_completed"))
    beating = get("last_heartbeat") is None or is_stamp(get("last_heartbeat"))
    return keyed and timed and ended and beating and all(is_number(get(c)) for c in NUMBERS.get(table, ()))


@cases(1_000)
@given(ROWS, st.integers(1, 2))
def test_whatever_the_rows_hold_the_usable_are_shown_and_the_others_counted(
    rows: list[Told], polls: int
) -> None:
    with in_memory() as folder:
        page = watched_in_polls(folder / "a.db", rows, polls).page()
    assert 'parsl_exporter_source_up{source="s"} 1\n' in page
    for table in TABLES:
        of_table = [row for row in rows if row.table is table]
        assert summed(page, f'parsl_exporter_rows_read_total{{source="s",table="{table.name}"}}') == len(
            of_table
        )
        rejected = summed(page, f'parsl_exporter_rows_rejected_total{{source="s",table="{table.name}",')
        assert rejected == sum(not usable(row) for row in of_table), table.name
    told = [row for row in rows if row.table is STATUS and usable(row)]
    assert summed(page, "parsl_tasks{") == len(
        {(row.values["run_id"], row.values["task_id"]) for row in told}
    )


def summed(page: str, prefix: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in page.split("\n") if line.startswith(prefix))


PLAIN = st.one_of(
    st.none(), st.just(-7), st.text(max_size=9), st.sampled_from([stamp(3), stamp(1e9), "running"])
)
PLAIN_ROWS = st.lists(
    st.builds(spoilt, st.sampled_from(POOL), st.lists(st.tuples(st.integers(0, 12), PLAIN), max_size=1)),
    min_size=1,
    max_size=30,
)


def distinct(rows: list[Told]) -> list[Told]:
    """The rows without those that Parsl's primary keys would have refused."""
    kept: dict[Any, Told] = {}
    for place, row in enumerate(rows):
        key = (
            (place,)
            if row.table is NODE
            else tuple(row.values.get(c) for c in row.table.columns[: row.table.identity])
        )
        kept.setdefault((row.table.name, key), row)
    return list(kept.values())


def modelled(row: Told) -> bool:
    """Say whether the oracle knows what to make of what is NULL, empty or no text in it, where it is usable."""
    if row.table in (BLOCK, NODE):
        return not {None, -7} & set(row.values.values())
    if row.table is TRY:
        return row.values["task_executor"] not in (None, "")
    if row.table is STATUS:
        return isinstance(row.values["task_status_name"], str) and row.values["task_status_name"] != ""
    return row.values.get("time_completed") != ""


@cases(100)
@given(PLAIN_ROWS)
def test_the_page_of_any_rows_is_that_of_the_usable_ones(rows: list[Told]) -> None:
    rows = [row for row in distinct(rows) if modelled(row)]
    with in_memory() as folder:
        good = write(folder / "good.db", [row for row in rows if usable(row)])
        path = write(folder / "a.db", rows)
        assert SourceHarness(path).wrong(good) == []
