"""The numbers of an (app, executor) pair: made anew when anything of it has changed, and only then."""

from __future__ import annotations

from support.model_harness import Options, told
from support.rows import RUN, as_rows, attempt, status, task, workflow

from parsl_exporter.model.groups import Group, groups_of


def test_of_several_groups_those_of_which_a_row_came_are_made_anew() -> None:
    names = [workflow(), task(0, "add"), attempt(0), task(1, "mul"), attempt(1)]
    nameless = [task(2, "late"), task(3, "late")]  # without a try row nothing counts but a task's state
    story = [*names, *nameless, *(status(task_id, "pending", 1) for task_id in range(3))]
    reading = told(story, Options(close_after=30))

    def groups() -> dict[str, Group]:
        return {app: group for (app, _), group in groups_of(reading.runs.runs[RUN])}

    def pending(of: dict[str, Group]) -> dict[str, int]:
        return {app: group.tasks["pending"] for app, group in of.items()}

    before = groups()
    reading.poll(as_rows([*story, status(1, "launched", 2), status(3, "pending", 2)])[len(story) :])
    after = groups()
    assert {app: after[app] is before[app] for app in after} == {"add": True, "mul": False, "late": False}
    assert pending(before) == {"add": 1, "mul": 1, "late": 1}
    assert pending(after) == {"add": 1, "mul": 0, "late": 2}


def test_a_task_that_gets_its_names_leaves_the_group_of_the_unknown() -> None:
    reading = told([workflow(), status(0, "pending", 1)], Options(close_after=30))
    (unknown,) = groups_of(reading.runs.runs[RUN])
    assert (unknown[0], unknown[1].tasks["pending"]) == (("unknown", "unknown"), 1)
    reading.poll(as_rows([task(0), attempt(0)]))
    assert [pair for pair, _ in groups_of(reading.runs.runs[RUN])] == [("add", "htex")]
