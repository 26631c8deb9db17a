"""Durations and counts as people read them, and what there is to say of a run."""

from __future__ import annotations

import pytest

from parsl_exporter.model.report import RunReport, Workers
from parsl_exporter.model.waiting import WaitingTasks
from parsl_exporter.model.wording import age, counted, facts, lasting, moment, number, often, tasks_by_app


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (100, "1 min 40 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (8_820, "2 h 27 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
        (40 * 86_400, "40 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_a_moment_names_its_zone() -> None:
    assert moment(1_800_000_000_999_999) == "2027-01-15 08:00:00 UTC"


def test_one_is_one_and_others_are_many() -> None:
    assert [number(n, "task") for n in (0, 1, 2_000)] == ["0 tasks", "1 task", "2,000 tasks"]
    assert number(2, "try", "tries") == "2 tries"


def test_counts_keep_their_order_or_have_the_greatest_first() -> None:
    assert counted({"RUNNING": 2, "SCALED_IN": 14_000}) == "2 RUNNING, 14,000 SCALED_IN"
    assert often({"b": 1, "a": 1, "c": 9}) == [("c", 9), ("a", 1), ("b", 1)]


US = 1_000_000
BEGAN = 1_800_000_000
RUN = RunReport(
    run_id="7f3a",
    names={"workflow_name": "montage.py", "user": "alice", "host": "login1"},
    begin_us=BEGAN * US,
    end_us=None,
    first_us=BEGAN * US,
    heard_us=(BEGAN + 90) * US,
    tasks={
        ("simulate", "htex"): {"launched": 1_200, "exec_done": 3},
        ("simulate", "threads"): {"exec_done": 4},
        ("plot", "threads"): {"failed": 2},
    },
    failures={"OSError": 1, "ValueError": 1_500},
    waiting={
        ("htex", "batch_queue"): WaitingTasks(1_200, (BEGAN + 60) * US),
        ("threads", "unknown"): WaitingTasks(1, None),
    },
    held_us={},
    blocks={"htex": {"PENDING": 2, "COMPLETED": 1}},
    workers={"htex": Workers(1, 1_024, 16), "mpi": Workers(2, 4, 0)},
    sampled=False,
)
"""A run of which everything there is to say is said."""


def test_the_facts_of_a_run_by_subject() -> None:
    assert dict(facts(RUN)) == {
        "run": ["7f3a, montage.py of alice on login1"],
        "time": ["began 2027-01-15 08:00:00 UTC, last row 2027-01-15 08:01:30 UTC"],
        "waiting": ["htex: 1,200 batch_queue since 2027-01-15 08:01:00 UTC", "threads: 1 unknown"],
        "blocks": ["htex: 2 PENDING, 1 COMPLETED"],
        "workers": ["htex: 16 of 1,024 busy on 1 manager", "mpi: 0 of 4 busy on 2 managers"],
        "failures": ["ValueError 1,500", "OSError 1"],
    }


def test_of_a_run_that_has_ended_when_it_did_and_no_workers() -> None:
    told = dict(facts(RUN._replace(end_us=(BEGAN + 120) * US, heard_us=0)))
    assert told["time"] == ["began 2027-01-15 08:00:00 UTC, ended 2027-01-15 08:02:00 UTC"]
    assert told["workers"] == []


def test_how_long_a_run_has_been_going_or_how_long_ago_it_ended() -> None:
    now = BEGAN + 300.0
    assert age(RUN, now, live=True) == "for 5 min"
    assert age(RUN, now, live=False) == ""
    assert age(RUN._replace(first_us=0), now, live=True) == ""
    for live in (True, False):
        assert age(RUN._replace(end_us=(BEGAN + 120) * US), now, live=live) == "3 min ago"


def test_tasks_by_app_those_of_all_executors_together_by_the_states_that_any_is_in() -> None:
    assert tasks_by_app(RUN) == (
        ["launched", "exec_done", "failed"],
        {"simulate": [1_200, 7, 0], "plot": [0, 0, 2]},
    )
