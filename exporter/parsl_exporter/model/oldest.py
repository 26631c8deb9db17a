"""The tasks that are in a state, oldest first, for each group: entered in any order, looked at once a drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Ints,
    Mask,
    any_of,
    distinct,
)

Still: TypeAlias = Callable[[int, Codes, Ints], Mask]
"""Says of tasks (by place) whether they are in a state since then, in that group."""
_FEW = 64


class _Part:
    """Entries in order of time, those before `begin` known to have left."""

    __slots__ = ("at", "begin", "tasks")

    def __init__(self, at: Ints, tasks: Codes) -> None:
        order = np.argsort(at, kind="stable")
        self.at = at[order]
        self.tasks = tasks[order]
        self.begin = 0

    def __len__(self) -> int:
        return len(self.at) - self.begin


class Oldest:
    """Who entered one state, by group. Who left is not told: `still` is asked when it matters.

    Parts of falling sizes are put together as they grow alike, without those who left: so there are few parts, and
    not many more entries than tasks in the state.
    """

    def __init__(self) -> None:
        self._parts: defaultdict[int, list[_Part]] = defaultdict(list)

    def __len__(self) -> int:
        """The number of entries held."""
        return sum(len(part) for parts in self._parts.values() for part in parts)

    def enter(self, groups: Codes, tasks: Codes, at: Ints, still: Still) -> None:
        """Tasks entered the state."""
        for group in distinct(groups).tolist():
            of = groups == group
            parts = self._parts[group]
            parts.append(_Part(at[of], tasks[of]))
            while len(parts) > 1 and len(parts[-2]) <= 2 * len(parts[-1]) + _FEW:
                one, other = parts.pop(), parts.pop()
                both_at = np.concatenate([one.at[one.begin :], other.at[other.begin :]])
                both = np.concatenate([one.tasks[one.begin :], other.tasks[other.begin :]])
                there = still(group, both, both_at)
                parts.append(_Part(both_at[there], both[there]))

    def first(self, group: int, still: Still) -> int | None:
        """Microseconds at which the task that is in it for the longest entered it; None when none is."""
        found: int | None = None
        parts = self._parts.get(group, [])
        for part in list(parts):
            self._advance(group, part, still)
            if not len(part):
                parts.remove(part)
            elif found is None or part.at[part.begin] < found:
                found = int(part.at[part.begin])
        return found

    def _advance(self, group: int, part: _Part, still: Still) -> None:
        step = 16
        while len(part):
            end = part.begin + step
            there = still(group, part.tasks[part.begin : end], part.at[part.begin : end])
            if any_of(there):
                part.begin += int(np.argmax(there))
                return
            part.begin = min(end, len(part.at))
            step *= 4

    def moved(self, places: Codes) -> None:
        """Tasks have new places; those whose place is below 0 have left."""
        for parts in self._parts.values():
            for part in parts:
                tasks = places[part.tasks[part.begin :]]
                there = tasks >= 0
                part.at, part.tasks, part.begin = part.at[part.begin :][there], tasks[there], 0
