"""Names that rows do not give, and hosts, blocks and executors that are called `unknown`."""

from __future__ import annotations

import pytest
from one_task import CLOSE_AFTER, at_rest, late
from support.model_harness import ModelHarness, Options, oracle_of
from support.oracle import differences
from support.rows import (
    Told,
    as_rows,
    attempt,
    block,
    lifecycle,
    sample,
    status,
    task,
    workflow,
)
from support.source_harness import NOT_HISTOGRAMS

SAMPLED = [
    sample(0, 5, user=1.0, system=0.5, resident=10.0),
    sample(0, 8, user=3.0, system=0.5, resident=5.0),
]
RAN = [*lifecycle(0, ("pending", 1), ("launched", 2), ("running", 4)), *SAMPLED]
TRIES = {
    "no executor": attempt(0, executor=None, block="0", host="node1"),
    "an executor": attempt(0, executor="unknown", block="0", host="node1"),
    "a host": attempt(0, block="0", host="unknown"),
    "a block": attempt(0, block="unknown", host="node1"),
    "a block of which no host is told": attempt(0, block="unknown"),
    "all": attempt(0, executor="unknown", block="unknown", host="unknown"),
}


@pytest.mark.parametrize("app", ["add", None, "unknown"])
@pytest.mark.parametrize("final", [None, "exec_done", "failed", "dep_fail"])
@pytest.mark.parametrize("tried", TRIES.values(), ids=TRIES)
def test_what_is_shown_equals_sql_also_after_a_late_row(
    tried: Told, final: str | None, app: str | None
) -> None:
    story = [workflow(), task(0, app), tried, *RAN, block("unknown", "RUNNING", 3)]
    story += [] if final is None else [status(0, final, 9)]
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows(story))
    reading.series()
    assert differences(oracle_of(story), at_rest(reading).series()) == []
    last = sample(0, 9, user=4.0, system=0.5)
    series = reading.poll(late(last)).series()
    assert differences(oracle_of([*story, last]), series, families=NOT_HISTOGRAMS) == []


@pytest.mark.parametrize("app", ["add", None])
def test_a_task_of_which_only_its_own_row_had_come_is_shown_when_others_do(app: str | None) -> None:
    story = [workflow(), task(0, app)]
    reading = ModelHarness().poll(as_rows(story), first=True)
    reading.series()
    more = [attempt(0), *RAN[:1]]
    assert differences(oracle_of([*story, *more]), reading.poll(as_rows(more)).series()) == []


def test_a_try_of_no_executor_is_read_again_until_it_has_its_host() -> None:
    story = [task(0), attempt(0, executor=None), *RAN[:3]]
    reading = ModelHarness().poll(as_rows(story))
    assert [key[1:] for key in reading.runs.incomplete_tries()] == [(0, 0)]
    reading.poll(as_rows([attempt(0, executor=None, host="unknown")]))
    assert [*reading.runs.incomplete_tries()] == []
