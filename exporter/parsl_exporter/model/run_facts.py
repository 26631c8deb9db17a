"""What is known of one run beside its sums: its names, its live tasks and tries, its blocks, managers and hosts.

Stamps are microseconds UTC.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Codes, Columns, Ints, Mask, indices
from parsl_exporter.model import contribution
from parsl_exporter.model.blocks import Block
from parsl_exporter.model.contribution import Added
from parsl_exporter.model.groups import Group
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import OTHER, UNKNOWN, Codebook
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.offsets import Offsets
from parsl_exporter.model.standing import OddStates
from parsl_exporter.model.states import RUNNING
from parsl_exporter.model.sums import Sums
from parsl_exporter.model.tries import FINISHED, NONE, Tasks, Tries
from parsl_exporter.model.writers import Writers

_CLASSES_TOLD = 20
"""Exception classes of one run that are told to be counted as `_other`."""


class Limits(NamedTuple):
    """What the model may keep and when it lets go. Seconds, but for the number of apps."""

    close_after: float
    retention: float
    abandon_after: float
    apps: int


class Info(NamedTuple):
    """The run's workflow row; `end_us` is None while time_completed is NULL, and `end_again_us` with it.

    That is the end's other reading where it lies in an hour that came twice, else the same.
    """

    name: str
    version: str
    host: str
    user: str
    rundir: str
    begin_us: int
    end_us: int | None
    end_again_us: int | None

    def ending_after(self, status_us: int) -> Info:
        """The same with an end that is not before the newest status row, where it can be read so."""
        if self.end_us is None or self.end_again_us is None or self.end_us >= status_us:
            return self
        return self._replace(end_us=self.end_again_us)


class Waiting(NamedTuple):
    """Rows that cannot be taken yet, stamps in naive microseconds, and their places in the order of insertion."""

    columns: Columns
    places: Ints | int


class RunFacts:
    """One run of one database. `published` says whether anything of it has been shown.

    Until then a histogram's observation can be taken back and made again, afterwards late rows only reach counters.

    `groups`: of each row of the sums its numbers as they were last given (`groups.py`). `keyed`: its task and try rows
    are to be asked for by key, those of `unnamed`. `sought`: its workflow row has been asked for by key since rows of
    the run were first seen. `heard_us`: when a row of it was last taken, see `Runs.heard`. `placed`: executors with a
    block. `ran`: the codes of the executors of which a try has a running row, NONE for tries whose own row has not
    come. `ended_on`: microseconds of the newest end of a try, by the code of its executor.
    """

    def __init__(self, run_id: str, buckets: Buckets, limits: Limits) -> None:
        self.run_id = run_id
        self.info: Info | None = None
        self.names = Codebook()
        self.tasks = Tasks()
        self.tries = Tries(self.tasks)
        self.sums = Sums(run_id, self.names, buckets)
        self.groups: list[Group | None] = []
        self.odd: OddStates = {}
        self.blocks: dict[tuple[str, str], Block] = {}
        self.executors_of_block: dict[str, set[str]] = {}
        self.executors_seen_on: dict[tuple[str, str], set[str]] = {}
        self.managers: dict[str, Manager] = {}
        self.hosts: dict[str, Host] = {}
        self.nowhere = Host()
        self.apps: dict[str, str] = {}
        self.newest_us = 0
        self.oldest_us: int | None = None
        self.newest_of: dict[str, int] = {}
        self.heard_us = 0
        self.writers = Writers()
        self.watched: dict[str, int] = {}
        self.waiting: list[Waiting] = []
        self.placed: set[str] = set()
        self.ran: set[int] = set()
        self.ended_on: dict[int, int] = {}
        self.offsets = Offsets()
        self.seen = 0.0
        self.over_since: float | None = None
        self.published = False
        self.sought = False
        self.changed = True
        self.forget_at = float("inf")
        self._folded_classes: set[str] = set()
        self._untold_classes: list[str] = []
        self.buckets = buckets
        self._limits = limits
        self.keyed = False
        self.unnamed: list[Codes] = []
        self._shown_odd: dict[int, tuple[int, str]] = {}
        self._touched: list[Codes] = []
        self._before: list[Added] = []
        self._closing: deque[tuple[float, Codes]] = deque()

    def __getstate__(self) -> dict[str, object]:
        """All but the numbers that are made anew of the sums."""
        return {**self.__dict__, "groups": []}

    @property
    def last_us(self) -> int:
        """Microseconds of the newest of its rows, its begin and its end as it is now; 0 when it has none."""
        if self.info is None:
            return self.newest_us
        return max(self.newest_us, self.info.begin_us, self.info.end_us or 0)

    @property
    def first_us(self) -> int:
        """Microseconds of its first row: its begin or, without a workflow row, its oldest status row or sample."""
        return self.info.begin_us if self.info is not None else self.oldest_us or 0

    def note_first(self, us: int) -> None:
        """A row of this stamp has come."""
        self.oldest_us = us if self.oldest_us is None else min(us, self.oldest_us)

    @property
    def over(self) -> bool:
        """Say whether the database gives the run an end."""
        return self.info is not None and self.info.end_us is not None

    def app_label(self, app: str) -> tuple[str, bool]:
        """The label under which `app` is counted, and whether this call folded it for the first time."""
        label = self.apps.get(app)
        if label is not None:
            return label, False
        if len(self.apps) < self._limits.apps:
            self.apps[app] = app
            return app, False
        return OTHER, True

    def fold_class(self, failure: str) -> None:
        """Note an exception class that is counted as `_other`, one of the first few of the run."""
        if failure not in self._folded_classes and len(self._folded_classes) < _CLASSES_TOLD:
            self._folded_classes.add(failure)
            self._untold_classes.append(failure)

    def untold_classes(self) -> list[str]:
        """The classes noted since the last call."""
        classes, self._untold_classes = self._untold_classes, []
        return classes

    def host(self, hostname: str) -> Host:
        """The facts of one host, made when first asked for."""
        host = self.hosts.get(hostname)
        if host is None:
            host = self.hosts[hostname] = Host()
        return host

    def block(self, executor: str, block_id: str) -> Block:
        """The facts of one block, made when first asked for."""
        block = self.blocks.get((executor, block_id))
        if block is None:
            block = self.blocks[executor, block_id] = Block()
            self.placed.add(executor)
        return block

    def executor_of(self, manager: Manager) -> str:
        """The executor of a manager. Node rows give none, and a block_id is only unique within an executor."""
        block_id, hostname = manager.latest.block_id, manager.latest.hostname
        found = self.executors_of_block.get(block_id, set())
        if len(found) != 1:
            found = self.executors_seen_on.get((block_id, hostname), set())
        return next(iter(found)) if len(found) == 1 else UNKNOWN

    def finished(self, task_ids: Ints) -> Mask:
        """Say of each task whether it is finished and forgotten."""
        return np.asarray(self.tasks.find(task_ids) == FINISHED)

    def executors_of(self, task_ids: Ints, try_ids: Ints) -> Codes:
        """Give the codes of the executors of tries: NONE where not known, FINISHED for those of finished tasks."""
        tasks = self.tasks.find(task_ids)
        found = np.where(tasks == FINISHED, FINISHED, NONE).astype(np.int32)
        live = indices(tasks >= 0)
        places = self.tries.find(tasks[live], try_ids[live])
        there = places >= 0
        found[live[there]] = self.tries.executor[places[there]]
        return found

    def _complete(self, places: Codes) -> Mask:
        """Say of each try whether the rows that name its app and its executor have come."""
        return (self.tasks.app[self.tries.task[places]] >= 0) & (self.tries.executor[places] >= 0)

    def _lacking(self, places: Codes) -> Mask:
        """Say of each try whether its row lacks what its status rows and samples say must come."""
        tries = self.tries
        hostless = (tries.last[places, RUNNING] >= 0) | (tries.sampled_at[places] >= 0)
        hostless &= tries.host[places] < 0
        reasonless = (tries.failure[places] < 0) & contribution.wasteful(tries, places)
        return np.asarray(~tries.closed[places] & (hostless | reasonless))
