"""Runs of five kinds, made up: healthy, waiting, failing, finished, and two hundred of them.

Every number of them is known, at every moment; `dashboard_samples` writes what an exporter would have published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parsl_exporter.model.states import STATES
from parsl_exporter.model.waiting import CAUSES

RETENTION = 900
"""Seconds for which a run's series stay after its end."""

Counts = dict[str, int]


@dataclass(frozen=True)
class App:
    """What a run calls: `total` tasks, of which `rate` a second end from `starts` seconds after the run's begin."""

    name: str
    executor: str
    total: int
    rate: float
    seconds: float
    slots: int
    starts: float = 0
    fails: float = 0
    reasons: tuple[str, ...] = ("ValueError",)
    depends: bool = False

    def counts(self, age: float) -> Counts:
        """Its tasks by state so long after the run's begin."""
        ended = int(min(self.total, max(0, (age - self.starts) * self.rate)))
        failed = int(ended * self.fails)
        running = min(self.slots, self.total - ended) if self.rate and age > self.starts else 0
        rest = self.total - ended - running
        found = dict.fromkeys(STATES, 0)
        found |= {"exec_done": ended - failed, "failed": failed, "running": running}
        found["pending" if self.depends else "launched"] = rest
        return found


@dataclass(frozen=True)
class Block:
    """A batch job: its state from so many seconds after the run's begin on, and the workers of its manager.

    The manager goes with its block, or is `lost` so long after the run's begin.
    """

    executor: str
    number: str
    states: tuple[tuple[float, str], ...]
    workers: int = 0
    lost: float | None = None

    def state(self, age: float) -> tuple[float, str] | None:
        found = [one for one in self.states if one[0] <= age]
        return found[-1] if found else None


@dataclass(frozen=True)
class Alert:
    """An alert that fires since `since` seconds after the run's begin."""

    name: str
    severity: str
    since: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run that began `began` and, maybe, ended at `ended`, both in Unix seconds."""

    source: str
    run_id: str
    name: str
    began: float
    apps: tuple[App, ...]
    ended: float | None = None
    user: str = "ada"
    causes: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    alerts: tuple[Alert, ...] = ()
    whole: bool = True
    """Whether all of its families are there, or those alone that lists of runs read."""

    def states(self, at: float) -> dict[App, Counts]:
        age = min(at, self.ended or at) - self.began
        return {app: app.counts(age) for app in self.apps}

    def waiting(self, at: float) -> dict[tuple[str, str], int]:
        """Its waiting tasks by executor and cause."""
        found = {(app.executor, cause): 0 for app in self.apps for cause in CAUSES}
        if self.ended is None or at < self.ended:
            for app, counts in self.states(at).items():
                found[app.executor, "dependencies"] += counts["pending"]
                found[app.executor, self.causes.get(app.executor, "busy_workers")] += counts["launched"]
        return found


def kinds(now: float) -> dict[str, list[Run]]:
    """The runs of each kind, as they are `now`."""
    simulate = App("simulate", "htex", 600, 0.15, 100.0, 16)
    analyse = App("analyse", "htex", 600, 0.14, 4.2, 4, starts=120, depends=True)
    plot = App("plot", "threads", 60, 0.015, 0.3, 1, starts=30)
    pool = Block("htex", "0", ((2, "PENDING"), (60, "RUNNING")), workers=16)
    healthy = Run(
        "healthy",
        "4f1d2c60-51f1-4c1c-9d55-0f6c5a6e7d01",
        "healthy",
        now - 3000,
        (simulate, analyse, plot),
        blocks=(pool,),
    )
    queued = ((3, "PENDING"),)
    waiting = Run(
        "waiting",
        "8e0b7a11-7f0e-4a0e-8f0a-52d2f2a1b802",
        "waiting",
        now - 8830,
        (App("simulate", "htex", 200, 0, 100.0, 0),),
        causes={"htex": "batch_queue"},
        blocks=tuple(Block("htex", number, queued) for number in "01"),
        alerts=tuple(
            Alert(
                "ParslBlockPendingTooLong",
                "warning",
                3720,
                {"executor": "htex", "block_id": number, "state": "PENDING"},
            )
            for number in "01"
        ),
    )
    broken = tuple(
        Block("htex", f"{i}", ((i * 300, "PENDING"), (i * 300 + 60, "FAILED"))) for i in range(1, 5)
    )
    failing = Run(
        "failing",
        "b7c3d9e2-0a4b-4d31-a6a0-94c0fe2d7c03",
        "failing",
        now - 4000,
        (
            App("simulate", "htex", 900, 0.2, 75.0, 16, fails=0.4, reasons=("MemoryError", "ValueError")),
            App("a_function_with_a_long_name_for_the_reports", "htex", 90, 0.02, 900.0, 2),
        ),
        blocks=(
            pool,
            *broken,
            Block(
                "htex", "5", ((2000, "PENDING"), (2100, "RUNNING"), (3700, "FAILED")), workers=16, lost=3500
            ),
            Block("htex", "6", ((2000, "PENDING"), (2400, "RUNNING"), (3600, "SCALED_IN")), workers=16),
        ),
        alerts=(
            Alert("ParslAppFailureRatioHigh", "warning", 1900, {"app": "simulate"}),
            Alert("ParslBlocksFailing", "critical", 1400, {"executor": "htex"}),
        ),
    )
    over = tuple(
        Run(
            "finished",
            f"c{i}a5e6f7-1b2c-4d3e-8f90-a1b2c3d4e504",
            "finished",
            now - 9000 + 2200 * i,
            (App("simulate", "htex", 200, 0.2, 60.0 + 10 * i, 12, fails=0.01 * i),),
            ended=now - 9000 + 2200 * i + 1050,
            blocks=(Block("htex", "0", ((2, "PENDING"), (30, "RUNNING"), (1040, "SCALED_IN")), workers=12),),
        )
        for i in range(4)
    )
    return {
        "healthy": [healthy],
        "waiting": [waiting],
        "failing": [failing],
        "finished": list(over),
        "200 runs": [_of_many(i, now) for i in range(MANY)],
    }


MANY, IN_TROUBLE, CRITICAL = 200, 31, 7
"""Of the many runs, those of which a critical or a warning alert fires, and those of a critical one."""


def _of_many(i: int, now: float) -> Run:
    began = now - 600 - 37 * i
    bad = i // 6 if i % 6 == 0 and i // 6 < IN_TROUBLE else None
    alerts = () if bad is None else _of_bad(bad)
    over = bad is None and i % 3 == 0 and i > 90
    return Run(
        "200 runs",
        f"{i:03d}{i * 7919 % 99991:05d}-aaaa-4bbb-8ccc-{i:012d}",
        f"campaign-{i % 8}",
        began,
        (App("simulate", "htex", 400, 0.05 + 0.001 * (i % 7), 80.0, 8, fails=0.02 * (i % 5 == 0)),),
        ended=min(now - 120, began + 2400) if over else None,
        user=("ada", "grace", "edsger", "barbara")[i % 4],
        causes={"htex": ("busy_workers", "batch_queue", "worker_start", "busy_workers")[i % 4]},
        alerts=alerts,
        whole=False,
    )


def _of_bad(n: int) -> tuple[Alert, ...]:
    block = {"executor": "htex", "block_id": "0", "state": "PENDING"}
    lost = {"executor": "htex", "block_id": "1", "hostname": "node17", "manager": "m"}
    name, severity, labels = (
        ("ParslRunSilent", "critical", {})
        if n < CRITICAL
        else (("ParslBlockPendingTooLong", "warning", block), ("ParslManagerLost", "warning", lost))[n % 2]
    )
    long = {"executor": "htex", "app": "simulate"}
    return Alert(name, severity, 300 + 11 * n, labels), Alert("ParslTaskRunningLong", "info", 200, long)
