"""The try that ended last, of each bucket of many histograms."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.exemplars import AllExemplars, Ends, Exemplar

BUCKETS = 3

Seen = tuple[int, int, int, int]
"""When a try ended, its task_id, the place and the bucket that it fell into."""
seen = st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2), st.integers(0, BUCKETS - 1))


def observe(exemplars: AllExemplars, tries: list[Seen], times: int = 1) -> None:
    us, task_ids, places, buckets = np.array(sorted(tries), np.int64).reshape(-1, 4).T
    ends = Ends(us, task_ids, np.zeros(len(us), np.int64))
    exemplars.observe(places.astype(np.int32), buckets, ends, buckets / 4, times)


def last(tries: list[Seen], place: int) -> dict[int, Exemplar]:
    return {
        bucket: Exemplar(us, task_id, 0, "r", bucket / 4)
        for us, task_id, of, bucket in sorted(tries)
        if of == place
    }


@settings(deadline=None)
@given(st.data(), st.lists(seen, unique=True), st.lists(seen, unique=True, max_size=15), st.booleans())
def test_it_is_the_last_of_those_that_were_not_taken_back(
    data: st.DataObject, stay: list[Seen], go: list[Seen], fixed: bool
) -> None:
    exemplars = AllExemplars("r", BUCKETS)
    stay = [one for one in stay if one not in go]
    told = data.draw(st.permutations([*stay, *go]))
    cut = data.draw(st.integers(0, len(told)))
    for part in (told[:cut], told[cut:]):
        observe(exemplars, part)
        exemplars.at(0)
    observe(exemplars, go, -1)
    if fixed:
        exemplars.fix()
    assert [exemplars.at(place).by_bucket for place in range(4)] == [last(stay, p) for p in range(4)]


def test_those_that_were_drawn_stay_as_they_were() -> None:
    exemplars = AllExemplars("r", BUCKETS)
    observe(exemplars, [(1, 7, 0, 2)])
    drawn = exemplars.at(0)
    observe(exemplars, [(2, 8, 0, 2)])
    assert exemplars.at(0).by_bucket[2].task_id == 8
    assert drawn.by_bucket[2].task_id == 7


def test_of_several_histograms_it_is_the_last_of_all() -> None:
    one, other = (AllExemplars(run_id, BUCKETS) for run_id in ("r", "s"))
    observe(one, [(1, 7, 0, 0), (4, 7, 0, 1)])
    observe(other, [(3, 6, 0, 1), (3, 5, 0, 2)])
    both = one.at(0).plus(other.at(0)).by_bucket
    assert {bucket: (found.run_id, found.us) for bucket, found in both.items()} == {
        0: ("r", 1),
        1: ("r", 4),
        2: ("s", 3),
    }
