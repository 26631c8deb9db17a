"""Where the tasks and tries of a run stand in the columns."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parsl_exporter.base.columns import Codes
from parsl_exporter.model.tries import FINISHED, NONE, Tasks, Tries

ids = st.integers(0, 300) | st.integers(60_000, 140_000) | st.integers(0, 2**62)
steps_of_a_few = st.lists(ids, min_size=1, max_size=6).flatmap(
    lambda few: st.lists(st.tuples(st.sampled_from(["add", "finish", "take back"]), st.sampled_from(few)))
)


def found(tasks: Tasks, *task_ids: int) -> list[int]:
    places: list[int] = tasks.find(np.array(task_ids, np.int64)).tolist()
    return places


@settings(deadline=None)
@given(steps_of_a_few)
@example([(step, 7) for step in ("add", "finish", "take back", "add", "finish")])
def test_every_task_is_found_as_it_was_left(steps: list[tuple[str, int]]) -> None:
    """However far ids lie apart."""
    tasks, live, finished = Tasks(), set[int](), set[int]()
    for step, task_id in steps:
        one = np.array([task_id], np.int64)
        if step == "add" and task_id not in live | finished:
            tasks.add(one)
            live.add(task_id)
        elif step == "finish" and task_id in live:
            tasks.forget(tasks.find(one))
            live.remove(task_id)
            finished.add(task_id)
        elif step == "take back" and task_id in finished:
            tasks.take_back(one)
            finished.remove(task_id)
    asked = sorted({max(0, task_id + by) for _, task_id in steps for by in (-1, 0, 1)})
    for task_id, place in zip(asked, found(tasks, *asked), strict=True):
        if task_id in live:
            assert tasks.task_id[place] == task_id
        else:
            assert place == (FINISHED if task_id in finished else NONE)
    assert (len(tasks), tasks.finished) == (len(live), len(finished))


def test_an_id_far_beyond_the_others_costs_no_memory_for_those_between() -> None:
    tasks = Tasks()
    tasks.add(np.array([0, 2**62], np.int64))
    assert found(tasks, 0, 1, 2**62) == [0, NONE, 1]
    assert tasks.size < 1_000


def with_tries(*keys: tuple[int, int]) -> tuple[Tasks, Tries]:
    """Tasks 0 to 9 and these tries: task_id, try_id."""
    tasks = Tasks()
    tries = Tries(tasks)
    tasks.add(np.arange(10))
    of_task, try_ids = np.array(keys, np.int64).reshape(-1, 2).T
    tries.find_or_add(tasks.find(of_task), try_ids)
    return tasks, tries


def test_ids_far_beyond_the_others_are_not_all_looked_at_when_a_few_more_come() -> None:
    tasks = Tasks()
    tasks.add(np.array([2**62, *range(2**40, 2**40 + 1_000)]))
    tasks.add(np.arange(100_000))
    looks = 0
    for task_id in range(100_000, 100_100):
        before = tasks._dense
        tasks.add(np.array([task_id]))
        looks += tasks._dense is not before
    assert looks <= 1


keys = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1)


@settings(deadline=None)
@given(keys, st.sets(st.integers(0, 9)), keys, st.booleans())
@example([(0, 0), (1, 0)], {0}, [(1, 1), (1, 2)], False)
def test_each_try_has_one_place_and_its_task_knows_all_of_them(
    keys: list[tuple[int, int]], gone: set[int], more: list[tuple[int, int]], pack: bool
) -> None:
    """Also those that take the places of others which have gone."""
    tasks, tries = with_tries(*keys)
    if gone:
        places = tasks.find(np.array(sorted(gone)))
        tries.forget(tries.of(places)[0])
        tasks.forget(places)
    for key in more:
        if key[0] not in gone:
            tries.find_or_add(tasks.find(np.array(key[:1])), np.array(key[1:]))
            keys = [*keys, key]
    if pack:
        tries.pack()
    left = [task_id for task_id in range(10) if task_id not in gone]
    places = tasks.find(np.array(left, np.int64))
    of, owner = tries.of(places)
    told = {(left[i], int(tries.try_id[place])) for i, place in zip(owner.tolist(), of.tolist(), strict=True)}
    assert told == {key for key in keys if key[0] not in gone}
    assert len(of) == len(told) == len(tries)
    assert owner.tolist() == sorted(owner.tolist())
    for task_id, place in zip(left, places.tolist(), strict=True):
        own = [try_id for of_task, try_id in keys if of_task == task_id]
        latest = tasks.latest[place]
        assert (int(tries.try_id[latest]) if latest >= 0 else None) == max(own, default=None)


def test_a_place_that_is_used_again_is_empty() -> None:
    tasks, tries = with_tries((0, 0))
    place = tries.of(tasks.find(np.array([0])))[0]
    tries.last[place, 0], tries.peak[place], tries.closed[place] = 5, 7.0, True
    tries.forget(place)
    again: Codes = tries.find_or_add(tasks.find(np.array([1])), np.array([0]))
    assert again.tolist() == place.tolist()
    assert tries.last[again, 0].tolist() == [NONE]
    assert tries.peak[again].tolist() == [-np.inf]
    assert tries.closed[again].tolist() == [False]


@settings(deadline=None)
@given(st.lists(st.integers(0, 500), unique=True), st.data())
def test_a_table_that_was_kept_gives_the_same_places(task_ids: list[int], data: st.DataObject) -> None:
    """Also after tasks were forgotten: what is added next stands where it would have stood."""
    tasks = Tasks()
    tasks.add(np.array(task_ids, np.int64))
    gone = data.draw(st.lists(st.sampled_from(task_ids), unique=True)) if task_ids else []
    tasks.forget(tasks.find(np.array(gone, np.int64)))
    back = pickle.loads(pickle.dumps(tasks))
    more = np.arange(1_000, 1_000 + data.draw(st.integers(0, 200)))
    for one in (tasks, back):
        one.add(more)
    everything = np.concatenate([np.array(task_ids, np.int64), more])
    assert back.find(everything).tolist() == tasks.find(everything).tolist()
    assert (back.size, len(back), back.finished) == (tasks.size, len(tasks), tasks.finished)
    assert (back.task_id == tasks.task_id).all()
    assert (back.head == tasks.head).all()


def test_tasks_that_are_moved_together_are_found_with_their_tries() -> None:
    """Thousands of them, those whose ids lie far beyond the others too, when most others have gone."""
    tasks = Tasks()
    tries = Tries(tasks)
    task_ids = np.append(np.arange(3_000), 2**40 + np.arange(600))
    tasks.add(task_ids)
    for try_id in range(3):
        tries.find_or_add(tasks.find(task_ids), np.full(len(task_ids), try_id))
    gone = task_ids[task_ids % 3 > 0]
    places = tasks.find(gone)
    tries.forget(tries.of(places)[0])
    tasks.forget(places)
    left = task_ids[task_ids % 3 == 0]
    for _ in range(2):
        tries.pack()
        places = tasks.find(left)
        assert tasks.task_id[places].tolist() == left.tolist()
        assert set(tasks.find(gone).tolist()) == {FINISHED}
        assert found(tasks, 3_000, 2**41) == [NONE, NONE]
        for try_id in range(3):
            of = tries.find(places, np.full(len(left), try_id))
            assert tries.task[of].tolist() == places.tolist()
            assert set(tries.try_id[of].tolist()) == {try_id}
        assert tries.try_id[tasks.latest[places]].tolist() == [2] * len(left)
        assert len(tasks) == len(left)
        assert len(tries) == 3 * len(left)
        assert tasks.size < 1.5 * len(left)
    tasks.add(np.array([5_000]))
    assert tasks.task_id[tasks.find(np.array([5_000]))].tolist() == [5_000]
    assert tasks.task_id[tasks.find(left)].tolist() == left.tolist()


def test_ids_at_the_end_of_the_room_for_near_ones_are_found() -> None:
    for far in range(65_730, 65_750):
        tasks = Tasks()
        tasks.add(np.array([far]))
        tasks.add(np.arange(101))
        tasks.forget(tasks.find(np.array([0])))
        tasks.take_back(np.array([0]))
        at_the_end = np.setdiff1d(len(tasks._dense) + np.arange(-1, 2), [far])
        for task_id in at_the_end.tolist():
            tasks.add(np.array([task_id]))
        there = np.array([far, *range(1, 101), *at_the_end])
        assert tasks.task_id[tasks.find(there)].tolist() == there.tolist()
        assert found(tasks, 0, 70_000) == [NONE, NONE]


def test_a_live_task_with_its_try_takes_less_than_two_thirds_of_a_kilobyte() -> None:
    """With the room for a third as many more; also when they were moved together."""
    count = 20_000
    tracemalloc.start()
    tasks = Tasks()
    tries = Tries(tasks)
    tasks.add(np.arange(count))
    tries.find_or_add(tasks.find(np.arange(count)), np.zeros(count, np.int64))
    used, _ = tracemalloc.get_traced_memory()
    assert used < 1_024 * count * 2 / 3
    tries.pack()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1_024 * count * 2 / 3


def test_four_bytes_stay_of_a_finished_task() -> None:
    """With the room for a third as many more."""
    count, at_once = 500_000, 1_000
    tracemalloc.start()
    tasks = Tasks()
    for begin in range(0, count, at_once):
        tasks.add(np.arange(begin, begin + at_once))
        tasks.forget(tasks.find(np.arange(begin, begin + at_once)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tasks.finished == count
    assert used < 6 * count
