"""Any order of rows, any split into polls, any interleaving of the tables: the same page, and the oracle's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from any_stories import (
    HOUR,
    Numbered,
    Telling,
    quick,
    stories,
    tellings,
    with_blocks_in_order,
    without_end,
)
from hypothesis import given
from hypothesis import strategies as st
from support.model_harness import ModelHarness, Options, oracle_of
from support.oracle import Histogram, Series, differences
from support.oracle.page import Labels, Value
from support.rows import Told, as_rows, attempt, sample, status, task, workflow, write
from support.source_harness import COUNTERS, HISTOGRAMS, NOT_HISTOGRAMS, SourceHarness, in_memory

from parsl_exporter.base.tables import TRY, WORKFLOW

CLOSE_AFTER = 30.0
FAILURES = "parsl_task_failures_total"

close_after = st.sampled_from([CLOSE_AFTER, -2.0 * HOUR])
"""The second has a first read let go of every task as soon as it seems finished."""
endless = stories.map(without_end)


def fallen(before: Series, after: Series) -> list[str]:
    """Name each counter that is less than it was; one that is gone counts as 0."""
    return [
        f"{name}{sorted(key)}: {value} -> {after[name].get(key, 0.0)}"
        for name in COUNTERS
        for key, value in before.get(name, {}).items()
        if after.get(name, {}).get(key, 0.0) < value  # type: ignore[operator]  # counters are numbers
    ]


def read(polls: Sequence[Sequence[Numbered]], *, pause: float = 0) -> ModelHarness:
    """Publish after each poll, and at last when all is closed; no counter may fall.

    After each poll comes one without rows, `pause` seconds later.
    """
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    before: Series = {}
    for rows in [*polls, ()]:
        for part in (rows, ()):
            after = reading.poll(part).series()
            assert fallen(before, after) == []
            before = after
            reading.clock += pause
    reading.clock += 2 * CLOSE_AFTER
    after = reading.poll().series()
    assert fallen(before, after) == []
    return reading


@quick
@given(tellings())
def test_order_and_polls_change_nothing(telling: Telling) -> None:
    assert differences(oracle_of(telling.story), read(telling.polls).series()) == []


@quick
@given(tellings(), st.data())
def test_duplicates_change_no_gauge_and_no_greatest_minus_least(
    telling: Telling, data: st.DataObject
) -> None:
    polls = [list(rows) for rows in telling.polls]
    told = [row for rows in polls for row in rows]
    for row in data.draw(st.lists(st.sampled_from(told), min_size=1, max_size=5)):
        if row[0] not in (TRY, WORKFLOW):  # these have one row each, read again as it is then
            polls[-1].insert(data.draw(st.integers(0, len(polls[-1]))), row)
    compared = [name for name in NOT_HISTOGRAMS if name != "parsl_task_transitions_total"]
    assert differences(oracle_of(telling.story), read(polls).series(), families=compared) == []


def summed(values: dict[Labels, Value], over: str) -> dict[Labels, Value]:
    """The sums over a label: a failure whose class comes after its try was closed stays `unknown`."""
    sums: dict[Labels, Value] = {}
    for key, value in values.items():
        rest = frozenset((name, text) for name, text in key if name != over)
        before = sums.get(rest, 0.0)
        assert isinstance(value, float) and isinstance(before, float)
        sums[rest] = before + value
    return sums


@quick
@given(tellings(endless))
def test_late_rows_reach_counters_and_gauges_of_closed_tries(telling: Telling) -> None:
    series = read(telling.polls, pause=2 * CLOSE_AFTER).series()
    truth = oracle_of(telling.story)
    for one in (truth, series):
        one[FAILURES] = summed(one.get(FAILURES, {}), over="reason")
    assert differences(truth, series, families=NOT_HISTOGRAMS) == []
    for name in HISTOGRAMS:
        for key, value in series.get(name, {}).items():
            most = truth[name][key]
            assert isinstance(value, Histogram)
            assert isinstance(most, Histogram)
            assert 0 <= value.count <= most.count


@quick
@given(tellings(), st.sampled_from([0.0, 2 * CLOSE_AFTER]))
def test_a_group_that_is_not_drawn_again_would_be_drawn_the_same(telling: Telling, pause: float) -> None:
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    for rows in [*telling.polls, (), ()]:
        kept = reading.poll(rows).series()
        for run in reading.runs.runs.values():
            run.sums.changed[:] = True
        assert differences(reading.series(), kept) == []
        reading.clock += pause


@quick
@given(tellings(), close_after)
def test_a_first_read_takes_back_what_it_closed_too_early(telling: Telling, close_after: float) -> None:
    reading = ModelHarness(Options(close_after=close_after))
    for rows in telling.polls:
        reading.take(rows)
        reading.runs.settle_history()
    reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
    assert differences(oracle_of(telling.story), reading.poll().series()) == []


@quick
@given(tellings(), close_after, st.booleans())
def test_a_first_read_of_many_rows_at_once_says_the_same(
    telling: Telling, close_after: float, between: bool
) -> None:
    """Also when it lets go of tasks too early."""
    reading = ModelHarness(Options(close_after=close_after))
    for rows in telling.polls:
        reading.take_by_tables(rows)
        if between:
            reading.runs.settle_history()
    reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
    assert differences(oracle_of(telling.story), reading.poll().series()) == []


@pytest.mark.parametrize("by_tables", [True, False])
@pytest.mark.parametrize("completed", [None, 30.0])
@pytest.mark.parametrize("used", [None, 4.0])
def test_a_host_named_after_a_first_read_let_go_of_its_task_is_not_unknown(
    used: float | None, completed: float | None, by_tables: bool
) -> None:
    early = attempt(0, executor="other")
    story = [
        workflow(completed=completed),
        task(0),
        attempt(0, executor="other", host="node1"),
        sample(0, 1, user=0, system=0),
        sample(0, 2, user=used, system=used),
        attempt(0, 1, executor="other", host="node2"),
        status(0, "exec_done", 7, 1),
    ]
    rows = as_rows(story)
    late = rows.pop(2)
    (table, was) = as_rows([early])[0]
    reading = ModelHarness(Options(close_after=-2.0 * HOUR))
    for polled in ([(table, was), *rows], [late]):
        if by_tables:
            reading.take_by_tables(polled)
        else:
            reading.take(polled)
        reading.runs.settle_history()
    reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
    assert differences(oracle_of(story), reading.poll().series()) == []


@pytest.mark.parametrize("used", [0.0, 4.0])
def test_a_host_that_nobody_named_is_unknown_once_the_run_is_over(used: float) -> None:
    """Also of a task that was let go of before, and of a try that used nothing."""
    story = [
        workflow(),
        task(0),
        attempt(0),
        *(sample(0, at, user=at * used, system=0) for at in (0, 1)),
        status(0, "exec_done", 2),
    ]
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.poll(as_rows(story)).series()
    reading.clock += 2 * CLOSE_AFTER
    assert "unknown" not in str(reading.poll().series()["parsl_task_cpu_seconds_total"])
    ended = [workflow(completed=5), *story[1:]]
    reading.poll(as_rows(ended[:1])).series()
    reading.clock += 2 * CLOSE_AFTER
    assert differences(oracle_of(ended), reading.poll().series()) == []


@quick
@given(st.data(), stories)
def test_a_database_says_the_same_in_any_order_of_insertion(data: st.DataObject, story: list[Told]) -> None:
    """Through SQLite and all of a source; block rows keep the order that is theirs."""
    shuffled = with_blocks_in_order(data.draw(st.permutations(story)), story)
    with in_memory() as folder:
        watched = SourceHarness(write(folder / "monitoring.db", shuffled))
        assert watched.wrong() == []


@quick
@given(tellings(), st.integers(0, 4))
def test_a_restart_shows_what_would_have_been_shown(telling: Telling, polls: int) -> None:
    """A first read of what is there at any moment, then polls: the same as polls alone, but for histograms."""
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.poll([row for rows in telling.polls[:polls] for row in rows], first=True).series()
    for rows in telling.polls[polls:]:
        reading.poll(rows).series()
    reading.clock += 2 * CLOSE_AFTER
    restarted = reading.poll().series()
    assert differences(read(telling.polls).series(), restarted, families=NOT_HISTOGRAMS) == []
