"""Runs of any kind, row by row, and the orders in which a reader may bring their rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from support.cases import TIMES
from support.rows import Told, as_rows, attempt, block, node, sample, status, task, workflow

from parsl_exporter.base.tables import BLOCK, TRY, WORKFLOW, Row, Table

quick = settings(
    max_examples=25 * TIMES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)

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
AnyRow = TypeVar("AnyRow", bound=tuple[Table, Any])
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


def with_blocks_in_order(shuffled: Iterable[AnyRow], inserted: Iterable[AnyRow]) -> list[AnyRow]:
    """The rows as they are shuffled, but those of blocks as they were inserted: so readers bring them."""
    blocks_in_order = iter([row for row in inserted if row[0] is BLOCK])
    return [next(blocks_in_order) if row[0] is BLOCK else row for row in shuffled]


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
    shuffled = with_blocks_in_order(shuffled, numbered)
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
