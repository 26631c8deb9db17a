"""Who is in a state for the longest, by group."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.base.columns import Codes, Ints, Mask
from parsl_exporter.model.oldest import Oldest

SINCE = st.integers(0, 50)


class Waiting:
    """Tasks, and since when each is in the state."""

    def __init__(self) -> None:
        self.since: dict[int, int] = {}
        self.oldest = Oldest()

    def still(self, group: int, tasks: Codes, at: Ints) -> Mask:
        del group
        return np.array(
            [self.since.get(t) == us for t, us in zip(tasks.tolist(), at.tolist(), strict=True)], bool
        )

    def enter(self, entering: dict[int, int]) -> None:
        self.since |= entering
        tasks = np.array(list(entering), np.int32)
        at = np.array(list(entering.values()), np.int64)
        self.oldest.enter(np.zeros(len(tasks), np.int32), tasks, at, self.still)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.integers(0, 400), SINCE, max_size=120), st.sets(st.integers(0, 400)))
    )
)
def test_it_is_the_least_of_those_that_are_still_there(steps: list[tuple[dict[int, int], set[int]]]) -> None:
    waiting = Waiting()
    for entering, leaving in steps:
        waiting.enter(entering)
        for task in leaving:
            waiting.since.pop(task, None)
        found = waiting.oldest.first(0, waiting.still)
        assert found == min(waiting.since.values(), default=None)


def test_it_stays_the_least_when_more_leave_and_nobody_enters() -> None:
    waiting = Waiting()
    waiting.enter({task: task for task in range(5)})
    for task in range(4):
        del waiting.since[task]
        assert [waiting.oldest.first(0, waiting.still) for _ in range(2)] == [task + 1] * 2


def test_groups_are_told_apart() -> None:
    waiting = Waiting()
    waiting.enter({1: 7})
    assert waiting.oldest.first(1, waiting.still) is None


def test_those_who_left_are_let_go_of_though_one_stays_for_ever() -> None:
    waiting = Waiting()
    waiting.enter({0: 0})
    for task in range(1, 20_000):
        waiting.enter({task: task})
        del waiting.since[task]
    assert waiting.oldest.first(0, waiting.still) == 0
    assert len(waiting.oldest) < 1_000


def test_who_is_moved_is_found_in_the_new_place_also_in_the_first_and_who_has_none_has_left() -> None:
    waiting = Waiting()
    waiting.enter({0: 3, 1: 5, 2: 7})
    waiting.oldest.moved(np.array([-1, 1, 0], np.int32))
    assert len(waiting.oldest) == 2
    waiting.since = {0: 7}
    assert waiting.oldest.first(0, waiting.still) == 7
