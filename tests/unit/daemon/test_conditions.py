"""What the web side is given of sources and runs: texts, and not more of them than a page can hold."""

from __future__ import annotations

import pytest
from support.model_harness import Options, finished
from support.rows import EPOCH, Told, attempt, block, lifecycle, status, task, workflow

from parsl_exporter.daemon.conditions import conditions_of, details_of, summary_of
from parsl_exporter.model.report import SourceReport, report_of
from parsl_exporter.source.health import Outcome

HIDDEN = frozenset({"user", "host", "rundir"})


def report(*story: Told, hidden: frozenset[str] = frozenset(), others: int = 0) -> SourceReport:
    """A source with these rows, read 100 s after the story's begin."""
    views = finished(story, Options(hidden=hidden)).views()
    runs = tuple(report_of(view.run, view.groups, view.waiting, view.hidden) for view in views)
    return SourceReport("s", "up", "up to date", 1_234, EPOCH + 100, runs, others)


def ended_runs(number: int) -> list[Told]:
    return [workflow(f"run-{i:03}", began=i / 10, completed=i / 10 + 1) for i in range(number)]


ONE = [
    workflow(workflow_name="montage.py"),
    task(0),
    attempt(0),
    status(0, "launched", 40),
    block("0", "PENDING", 30),
]


def test_a_source_and_its_run_are_texts() -> None:
    (condition,) = conditions_of([report(*ONE)])
    (run,) = condition.runs
    assert condition[:5] == ("s", "up", "up to date", "1,234", "2026-01-05 12:01:40 UTC")
    assert run[:5] == (
        "run-1",
        "montage.py",
        "for 1 min 40 s",
        "ok",
        "1 task has waited 1 min for the batch queue; 1 block PENDING, no worker",
    )
    assert [(subject, texts) for subject, texts in run.facts if texts] == [
        ("tasks", ["1 launched"]),
        ("blocks", ["htex: 1 PENDING"]),
    ]


def test_a_fault_does_not_name_the_source_again() -> None:
    down = SourceReport("/a.db", "down", "/a.db: not an SQLite database", 0, EPOCH, (), 0)
    assert [one.message for one in conditions_of([down])] == ["not an SQLite database"]


def test_a_runs_page_has_more_of_it() -> None:
    details = details_of(report(*ONE), "run-1")
    assert details is not None
    assert (details.source, details.states, details.apps) == ("s", ["launched"], [("add", ["1"])])
    assert [(subject, texts) for subject, texts in details.run.facts if texts] == [
        ("run", ["run-1, montage.py of me on submit"]),
        ("time", ["began 2026-01-05 12:00:00 UTC, last row 2026-01-05 12:00:40 UTC"]),
        ("waiting", ["htex: 1 batch_queue since 2026-01-05 12:00:40 UTC"]),
        ("blocks", ["htex: 1 PENDING"]),
    ]


def test_a_run_that_is_not_there_has_no_page() -> None:
    assert details_of(report(*ONE), "run-2") is None


def test_hidden_labels_are_hidden() -> None:
    told = report(workflow(user="alice", host="login1", rundir="/home/alice"), hidden=HIDDEN)
    details = details_of(told, "run-1")
    assert details is not None
    texts = repr((details, conditions_of([told])))
    assert "hidden of" not in texts
    assert "wf of hidden on hidden" in texts
    for secret in ("alice", "login1"):
        assert secret not in texts


def test_of_many_runs_the_newest_are_shown_and_the_others_counted() -> None:
    (condition,) = conditions_of([report(*ended_runs(50), *ONE, others=7)])
    assert [run.run_id for run in condition.runs] == ["run-1", *(f"run-{i:03}" for i in range(49, 30, -1))]
    assert condition.others == "and 38 more runs"
    assert conditions_of([report(*ONE)])[0].others == ""


def test_a_run_in_trouble_is_shown_however_many_younger_ones_live() -> None:
    young = [workflow(f"run-{i:03}", began=50 + i) for i in range(30)]
    long_ago = [
        workflow("waits", began=-9_000),
        task(0, run="waits"),
        attempt(0, run="waits"),
        status(0, "launched", -8_000, run="waits"),
        block("0", "PENDING", -8_000, run="waits"),
    ]
    (condition,) = conditions_of([report(*young, *long_ago)])
    assert [(run.run_id, run.severity) for run in condition.runs][:2] == [
        ("waits", "warning"),
        ("run-029", "ok"),
    ]
    assert len(condition.runs) == 20


def test_a_run_that_crashed_is_shown_however_many_ended_after_it() -> None:
    crashed = [workflow("crashed", began=-90_000), *lifecycle(0, ("launched", -90_000), run="crashed")]
    (condition,) = conditions_of([report(*ended_runs(50), *crashed, *ONE)])
    assert [run.run_id for run in condition.runs][:3] == ["run-1", "crashed", "run-049"]


def test_a_page_has_so_many_runs_of_all_sources() -> None:
    conditions = conditions_of([report(*ended_runs(50))] * 20)
    assert [len(condition.runs) for condition in conditions] == [20] * 15 + [0] * 5
    assert conditions[-1].others == "and 50 more runs"


UP, READING, DOWN = (
    Outcome("up", "up to date"),
    Outcome("reading", "41 % read"),
    Outcome("down", "b: no such file"),
)


@pytest.mark.parametrize(
    ("sources", "line"),
    [
        ([], "looking for databases"),
        ([("a", UP)], "1 source: 1 up"),
        ([("a", READING), ("b", UP)], "2 sources: 1 up, 1 reading; a: 41 % read"),
        ([("a", READING), ("b", DOWN), ("c", UP)], "3 sources: 1 up, 1 reading, 1 down; b: no such file"),
    ],
)
def test_all_sources_are_a_line_that_names_one_in_trouble(
    sources: list[tuple[str, Outcome]], line: str
) -> None:
    assert summary_of(sources) == line
