"""A task's state, its tries and why they failed."""

from __future__ import annotations

import itertools

import pytest

from parsl_exporter.model.tasks import PROGRESS, STATES, Standing, Task, Try, failure_class


def task(*rows: tuple[int, str, int]) -> Task:
    """A task of status rows: try_id, state, stamp."""
    made = Task()
    for try_id, state, us in rows:
        one = made.tries.setdefault(try_id, Try())
        if state in one.first:
            one.again(state, us)
        else:
            one.first[state] = us
    return made


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([(0, "pending", 9), (0, "launched", 1)], "launched"),
        ([(0, "running", 9), (0, "running_ended", 1)], "running_ended"),
        ([(0, "running_ended", 9), (0, "joining", 1)], "joining"),
        ([(0, "joining", 9), (0, "fail_retryable", 1)], "fail_retryable"),
        ([(0, "fail_retryable", 9), (1, "pending", 1)], "pending"),
        ([(1, "running", 9), (0, "exec_done", 1)], "exec_done"),
        ([(0, "running", 9), (0, "exec_done", 1)], "exec_done"),
        ([(0, "exec_done", 1), (0, "memo_done", 2)], "memo_done"),
        ([(0, "exec_done", 2), (0, "memo_done", 2)], "exec_done"),
        ([(0, "exec_done", 2), (0, "dep_fail", 2)], "dep_fail"),
        ([(0, "dep_fail", 2), (0, "failed", 2)], "failed"),
        ([(0, "runnable", 9), (0, "launched", 1)], "launched"),
        ([(0, "pending", 9), (0, "runnable", 1)], "runnable"),
        ([(0, "runnable", 9), (0, "unsched", 1)], "unsched"),
    ],
)
def test_the_greatest_row_is_the_state_in_any_order(rows: list[tuple[int, str, int]], state: str) -> None:
    for order in itertools.permutations(rows):
        standing = task(*order).standing()
        assert standing is not None
        assert standing.state == state


def test_it_is_in_its_state_since_the_earliest_row_of_that() -> None:
    assert task((0, "running", 7), (0, "running", 5), (1, "running", 9)).standing() == Standing("running", 9)
    assert task((0, "running", 7), (0, "running", 5)).standing() == Standing("running", 5)


def test_a_task_without_a_status_row_has_no_state() -> None:
    assert Task().standing() is None


def test_parsls_ten_states_are_known() -> None:
    assert len(set(STATES)) == 10
    assert PROGRESS[0] == "pending"


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ("ValueError('x')", "ValueError"),
        ("  parsl.executors.errors.ManagerLost(b'1', 'n')", "ManagerLost"),
        ("KeyError('a'),KeyError('b')", "KeyError"),
        ("Größe()", "Größe"),
        ("Überlauf(1)", "Überlauf"),
        ("TimeoutError", "TimeoutError"),
        ("कक्षा_त्रुटि(1)", "कक्षा_त्रुटि"),
        ("_ArrayMemoryError((9,), dtype('<f8'))", "_ArrayMemoryError"),
        ("TimeoutError: after 5 s (of 3)", "TimeoutError"),
        ("TimeoutError after f(5)", "TimeoutError"),
        ("<HTTPError 404: 'Not Found'>", "HTTPError"),
        ("<class 'concurrent.futures.process.BrokenProcessPool'>", "BrokenProcessPool"),
        ("<__main__.Odd object at 0x7f00>", "Odd"),
        ("Odd-One('x')", "Odd-One"),
        ("Odd[int]('x')", "Odd[int]"),
        ("404 (not found)", None),
        ("<>", None),
        ("'text'", None),
        ("", None),
        (None, None),
    ],
)
def test_the_reason_of_a_failure_is_the_class_that_its_history_begins_with(
    history: str | None, reason: str | None
) -> None:
    assert failure_class(history) == reason
