"""The set of finished task ids."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.retired import Retired

ids = st.integers(0, 300) | st.integers(60_000, 140_000) | st.integers(0, 2**62)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), ids)))
def test_it_is_a_set(steps: list[tuple[bool, int]]) -> None:
    retired, plain = Retired(), set[int]()
    for add, task_id in steps:
        if add:
            retired.add(task_id)
            plain.add(task_id)
        elif task_id in plain:
            retired.remove(task_id)
            plain.remove(task_id)
    asked = {task_id + by for _, task_id in steps for by in (-1, 0, 1)}
    assert {task_id for task_id in asked if task_id in retired} == asked & plain
