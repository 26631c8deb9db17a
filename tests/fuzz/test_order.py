"""Any order of rows, any split into polls, any interleaving of the tables: the same page, and the oracle's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.cases import TIMES
from support.model_harness import REASONS, SOURCE, ModelHarness, Options
from support.oracle import Histogram, Series, differences, expected
from support.oracle.page import Labels, Value
from support.rows import Told, as_rows, attempt, block, node, sample, status, task, workflow, write
from support.source_harness import COUNTERS, HISTOGRAMS, NOT_HISTOGRAMS, SourceHarness, in_memory

from parsl_exporter.base.tables import BLOCK, TRY, WORKFLOW, Row, Table

CLOSE_AFTER = 30.0
FAILURES = "parsl_task_failures_total"
HOUR = 3600

LAST_STATES = [
    (),
    ("exec_done",),
    ("failed",),
    ("memo_done",),
    ("fail_retryable",),
    ("dep_fail", "dep_fail"),
    ("fail_retryable", "failed"),
    ("exec_done", "memo_done"),
    ("exec_done", "failed", "failed"),
]
"""What a task's last try may end in; some releases wrote more than one row."""

Numbered = tuple[Table, Row]
UPDATED: dict[Table, dict[str, str | None]] = {
    TRY: {"block_id": None, "hostname": None, "task_fail_history": ""},
    WORKFLOW: {"time_completed": None},
}
"""What a row's columns hold before Parsl updates it."""

times = st.integers(0, 600).map(lambda tenths: tenths / 10)
executors = st.sampled_from(["htex", "other"])
blocks = st.sampled_from([None, "0", "1"])
hosts = st.sampled_from([None, "node1", "node2"])
histories = st.sampled_from(["", None, "ValueError('x')", "parsl.x.ManagerLost(b'1', 'n')", "Odd()", "?"])
numbers = st.integers(0, 1_000).map(float)
measured = st.fixed_dictionaries(
    dict.fromkeys(("user", "system", "children", "virtual", "resident", "read"), numbers),
    optional=dict.fromkeys(("written", "voluntary", "involuntary"), numbers),
)


@st.composite
def samples(draw: st.DrawFn, task_id: int, try_id: int, run: str, shift: float) -> list[Told]:
    """Resource rows of one try, no two of one stamp: that is their key."""
    stamps = draw(st.lists(times, max_size=3, unique=True))
    values: st.SearchStrategy[dict[str, float]] = st.just({}) | measured | st.just({"user": 1.0})
    return [sample(task_id, shift + at, try_id, run, **draw(values)) for at in stamps]


@st.composite
def tries(draw: st.DrawFn, task_id: int, try_id: int, run: str, *, last: bool) -> list[Told]:
    """One try: its row, a part of the states that it can go through, and samples, by clocks an hour apart."""
    shift = draw(st.integers(-HOUR, HOUR))
    story: list[Told] = []
    if draw(st.integers(0, 9)):
        story.append(
            attempt(
                task_id,
                try_id,
                executor=draw(executors),
                block=draw(blocks),
                host=draw(hosts),
                history=draw(histories),
                run=run,
            )
        )
    for state in draw(st.lists(st.sampled_from(["pending", "launched", "joining", "odd"]), unique=True)):
        story.append(status(task_id, state, draw(times), try_id, run))
    for state in draw(st.sampled_from([(), ("running",), ("running", "running_ended")])):
        story.append(status(task_id, state, shift + draw(times), try_id, run))
    for state in draw(st.sampled_from(LAST_STATES)) if last else ["fail_retryable"]:
        story.append(status(task_id, state, draw(times), try_id, run))
    return story + draw(samples(task_id, try_id, run, shift))


@st.composite
def ordinary_task(draw: st.DrawFn, task_id: int, run: str) -> list[Told]:
    """A task of the kind of which there are millions: one try, five states."""
    shift = draw(st.integers(-HOUR, HOUR))
    row = attempt(task_id, executor=draw(executors), block=draw(blocks), host=draw(hosts), run=run)
    states = ("pending", "launched", "running", "running_ended", "exec_done")
    return [
        task(task_id, draw(st.sampled_from(["add", "mul"])), run),
        row,
        *(
            status(task_id, state, draw(times) + shift * state.startswith("running"), run=run)
            for state in states[: draw(st.sampled_from([5, 5, 5, 3, 4]))]
        ),
        *draw(samples(task_id, 0, run, shift)),
    ]


@st.composite
def runs(draw: st.DrawFn, run: str) -> list[Told]:
    """One run with all that a database may hold of it, orphans among it."""
    story: list[Told] = []
    if draw(st.integers(0, 9)):
        completed = draw(st.none() | times)
        story.append(workflow(run, completed=completed))
    for task_id in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            story += draw(ordinary_task(task_id, run))
            continue
        if draw(st.integers(0, 9)):
            story.append(task(task_id, draw(st.sampled_from(["add", "mul", ""])), run))
        count = draw(st.integers(1, 3))
        for try_id in range(count):
            story += draw(tries(task_id, try_id, run, last=try_id == count - 1))
    states = st.sampled_from(["PENDING", "RUNNING", "COMPLETED", "HELD"])
    for executor, block_id in draw(st.lists(st.tuples(executors, st.sampled_from("01")), max_size=3)):
        story.append(block(block_id, draw(states), draw(times), executor, run=run))
    homes = {
        uid: (draw(st.sampled_from(["node1", "node2"])), draw(st.sampled_from("01"))) for uid in ("m1", "m2")
    }
    for uid in draw(st.lists(st.sampled_from(["m1", "m2"]), max_size=3)):
        host, block_id = homes[uid]
        story.append(
            node(uid, draw(times), active=draw(st.booleans()), run=run, host=host, block_id=block_id)
        )
    return story


def without_end(story: list[Told]) -> list[Told]:
    return [Told(t, {**v, "time_completed": None}) if t is WORKFLOW else Told(t, v) for t, v in story]


stories = (
    st.tuples(runs("run-1"), st.just([]) | runs("run-2")).map(lambda both: both[0] + both[1]).filter(bool)
)

close_after = st.sampled_from([CLOSE_AFTER, -2.0 * HOUR])
"""The second has a first read let go of every task as soon as it seems finished."""
endless = stories.map(without_end)


class Telling(NamedTuple):
    """A story and an order in which a reader may bring its rows, cut into polls."""

    story: list[Told]
    polls: list[list[Numbered]]


@st.composite
def tellings(draw: st.DrawFn, of: st.SearchStrategy[list[Told]] = stories) -> Telling:
    """Rows in any order, but block rows: readers bring them in the order of insertion.

    Rows that Parsl updates in place may be read before that, too.
    """
    story = draw(of)
    numbered = as_rows(story)
    if draw(st.booleans()):
        late = draw(st.lists(st.sampled_from(numbered), min_size=1, max_size=4, unique_by=id))
        shuffled = [row for row in numbered if not any(row is one for one in late)] + late
        cut = st.integers(len(shuffled) - len(late), len(shuffled))
    else:
        shuffled = draw(st.permutations(numbered))
        cut = st.integers(0, len(shuffled))
    blocks_in_order = iter([row for row in numbered if row[0] is BLOCK])
    shuffled = [next(blocks_in_order) if row[0] is BLOCK else row for row in shuffled]
    cuts = sorted(draw(st.sets(cut, max_size=4)))
    polls = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    for row in draw(st.lists(st.sampled_from(shuffled), max_size=4, unique_by=id)):
        if early := as_inserted(row):
            within = next(poll for poll in polls if any(row is one for one in poll))
            before = draw(st.sampled_from(polls[: polls.index(within)] or [within]))
            before.insert(0, early)
    return Telling(story, polls)


def as_inserted(row: Numbered) -> Numbered | None:
    """The row as it was before Parsl updated it, where it does so."""
    table, values = row
    if table not in UPDATED:
        return None
    updated = UPDATED[table]
    named = zip(table.columns, values[1:], strict=True)
    return table, (values[0], *(updated.get(column, value) for column, value in named))


def oracle(story: Sequence[Told]) -> Series:
    with in_memory() as folder:
        database = write(folder / "monitoring.db", story)
        return expected(database, source=SOURCE, timezone="UTC", failure_reasons=REASONS)


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


quick = settings(
    max_examples=25 * TIMES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)


@quick
@given(tellings())
def test_order_and_polls_change_nothing(telling: Telling) -> None:
    assert differences(oracle(telling.story), read(telling.polls).series()) == []


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
    assert differences(oracle(telling.story), read(polls).series(), families=compared) == []


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
    truth = oracle(telling.story)
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
    assert differences(oracle(telling.story), reading.poll().series()) == []


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
    assert differences(oracle(telling.story), reading.poll().series()) == []


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
    assert differences(oracle(story), reading.poll().series()) == []


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
    assert differences(oracle(ended), reading.poll().series()) == []


@quick
@given(st.data(), stories)
def test_a_database_says_the_same_in_any_order_of_insertion(data: st.DataObject, story: list[Told]) -> None:
    """Through SQLite and all of a source; block rows keep the order that is theirs."""
    blocks_in_order = iter([told for told in story if told.table is BLOCK])
    shuffled = [
        next(blocks_in_order) if told.table is BLOCK else told for told in data.draw(st.permutations(story))
    ]
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
