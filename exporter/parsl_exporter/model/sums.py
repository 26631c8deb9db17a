"""What the tries of a run come to, by app and executor: a row of numbers for each pair that was seen.

Durations are in microseconds, everything else as sampled.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from parsl_exporter.base.columns import Codes, Floats, Ints, Mask, begins_of, grouped, indices, paired
from parsl_exporter.model.names import UNKNOWN, Codebook
from parsl_exporter.model.observations import Buckets, Observations
from parsl_exporter.model.oldest import Oldest
from parsl_exporter.model.states import STATES, TIMED
from parsl_exporter.model.usage import CUMULATIVE

TRANSITIONS = slice(0, len(STATES))
USED = slice(TRANSITIONS.stop, TRANSITIONS.stop + CUMULATIVE)
WASTED = USED.stop
COUNTERS = slice(0, WASTED + 1)
CPU, SAMPLED = WASTED + 1, WASTED + 2
"""What a try used, user and system, and that it was sampled, as they count for its host."""
ON_HOST = slice(CPU, SAMPLED + 1)
TRIES, MEASURED, RESIDENT, VIRTUAL, PROCESSES = range(SAMPLED + 1, SAMPLED + 6)
"""How many tries run, how many of them were sampled, and what they use now."""
GAUGES = slice(TRIES, PROCESSES + 1)
WIDTH = PROCESSES + 1
"""The columns of what a try adds (`contribution.py`); sums have those but for ON_HOST."""


class Sums:
    """The sums of one run's (app, executor) pairs; `pairs[g]` names row g.

    `changed`: of which anything has changed since `groups.py` last made plain numbers of it. Failures and rows in
    states that are not Parsl's never change but with `values`.
    """

    def __init__(self, run_id: str, names: Codebook, buckets: Buckets) -> None:
        self._names = names
        self._of: dict[tuple[int, int], int] = {}
        self.pairs: list[tuple[str, str]] = []
        self.values: Floats = np.zeros((0, WIDTH))
        self.tasks: Ints = np.zeros((0, len(STATES)), np.int64)
        self.changed: Mask = np.zeros(0, np.bool_)
        self.odd_tasks: defaultdict[tuple[int, str], int] = defaultdict(int)
        self.odd_transitions: defaultdict[tuple[int, str], int] = defaultdict(int)
        self.failures: defaultdict[tuple[int, str], int] = defaultdict(int)
        self.counted: set[int] = set()
        self.observations = Observations(run_id, buckets)
        self.oldest = {state: Oldest() for state in TIMED}

    def __getstate__(self) -> dict[str, object]:
        """All, and no plain numbers made of it yet."""
        return {**self.__dict__, "changed": np.full(len(self.changed), True)}

    def groups(self, apps: Codes, executors: Codes) -> Codes:
        """Give the rows of these pairs, made when they are new; a code below 0 is `unknown`."""
        apps, executors = np.maximum(apps, 0), np.maximum(executors, 0)
        keys = paired(apps, executors)
        if len(keys) and (keys == keys[0]).all():
            return np.full(len(keys), self._group(int(apps[0]), int(executors[0])))
        first, of = grouped(keys)
        pairs = zip(apps[first].tolist(), executors[first].tolist(), strict=True)
        rows = np.array([self._group(app, executor) for app, executor in pairs], np.int32)
        return rows[of]

    def _group(self, app: int, executor: int) -> int:
        group = self._of.get((app, executor))
        if group is None:
            group = self._of[app, executor] = len(self.pairs)
            self.pairs.append((self._names.texts[app], self._names.texts[executor]))
            if group >= len(self.values):
                more = max(4, group)
                self.values = np.concatenate([self.values, np.zeros((more, WIDTH))])
                self.tasks = np.concatenate([self.tasks, np.zeros((more, len(STATES)), np.int64)])
                self.changed = np.concatenate([self.changed, np.full(more, True)])
        return group

    def add(self, groups: Codes, values: Floats, columns: slice) -> None:
        """Add these columns of rows of values, each to its group, but of those whose group is below 0."""
        rows = indices(groups >= 0)
        if not len(rows):
            return
        groups = groups[rows]
        self.changed[groups] = True
        sums = self.values[:, columns]
        if (groups == groups[0]).all():
            sums[groups[0]] += (values if len(rows) == len(values) else values[rows])[:, columns].sum(axis=0)
            return
        order = np.argsort(groups, kind="stable")
        groups = groups[order]
        begins = indices(begins_of(groups))
        sums[groups[begins]] += np.add.reduceat(values.take(rows[order], 0)[:, columns], begins, axis=0)

    def shown(self, group: int) -> bool:
        """Say whether it is to be shown: one of unknown names only as long as it holds something.

        So is a group with a task in a state that is not Parsl's (`odd_tasks`).
        """
        return (
            UNKNOWN not in self.pairs[group]
            or group in self.counted
            or self.values[group, TRIES] != 0
            or bool(self.tasks[group].any())
        )
