"""One Parsl run whose tasks wait: `python waiting_run.py KIND`, in its own folder, until it is killed.

It submits its tasks and then writes one line of JSON: the process ids of workers that are to be stopped. On a line of
standard input it submits more tasks.

causes    executors: `queue`, whose job stays pending; `starting`, whose worker pool never comes; `busy`, two workers
          with more to do and a task that depends on theirs; `ended`, whose only job has ended; `blockless`, which may
          have no block; `threads`, one thread with more to do
idle      workers that will be stopped, under a pool that goes on and is given more to do
mpi       two nodes and as many workers, and a task that takes both nodes
untold    a run without resource monitoring
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, MPIExecutor, ThreadPoolExecutor
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SimpleLauncher
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider


class FullQueue(LocalProvider):
    """A batch system that has no room."""

    def submit(self, command: str, tasks_per_node: int, job_name: str = "") -> str:
        return "1"

    def status(self, job_ids: Sequence[object]) -> list[JobStatus]:
        return [JobStatus(JobState.PENDING) for _ in job_ids]

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        return [True for _ in job_ids]


def hold(*after: Any) -> None:
    import threading

    threading.Event().wait(600)


def who_works() -> int:
    """The worker that runs this."""
    import os
    import time

    time.sleep(1)
    return os.getpid()


def mpi_hold(parsl_resource_specification: dict[str, int] | None = None) -> None:
    import threading

    threading.Event().wait(600)


def app(function: Any, executor: str) -> Any:
    return parsl.python_app(function, executors=[executor])


def pool(label: str, provider: Any = None, **options: Any) -> HighThroughputExecutor:
    """Two workers in one block."""
    return HighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=0.5,
        encrypted=False,
        block_error_handler=False,
        provider=provider or LocalProvider(init_blocks=1, max_blocks=1),
        **options,
    )


def mpi() -> MPIExecutor:
    """Two nodes, which are this one twice."""
    nodes = Path("nodes")
    nodes.write_text("localhost\nlocalhost\n")
    provider = LocalProvider(
        init_blocks=1,
        max_blocks=1,
        launcher=SimpleLauncher(),
        worker_init=f"export PBS_NODEFILE='{nodes.absolute()}'",
    )
    return MPIExecutor(label="mpi", address="127.0.0.1", max_workers_per_block=2, provider=provider)


def executors(kind: str) -> list[Any]:
    if kind == "mpi":
        return [mpi()]
    if kind != "causes":
        return [pool("htex")]
    return [
        pool("queue", FullQueue()),  # type: ignore[no-untyped-call]  # its parent's is Parsl's
        pool("starting", launch_cmd="sleep 600"),
        pool("busy"),
        pool("ended", launch_cmd="true"),
        pool("blockless", LocalProvider(init_blocks=0, max_blocks=0)),
        ThreadPoolExecutor(label="threads", max_threads=1),
    ]


def load(kind: str) -> None:
    parsl.load(
        Config(
            executors=executors(kind),
            monitoring=MonitoringHub(
                workflow_name=kind,
                resource_monitoring_enabled=kind != "untold",
                resource_monitoring_interval=1,
            ),
            strategy="none",
            strategy_period=1,
        )
    )


def begin(kind: str) -> list[int]:
    """Submit tasks that wait; gives the workers to be stopped."""
    if kind == "idle":
        return sorted({future.result() for future in [app(who_works, "htex")() for _ in range(4)]})
    if kind == "mpi":
        task = app(mpi_hold, "mpi")
        for _ in range(2):
            task(parsl_resource_specification={"num_nodes": 2, "ranks_per_node": 1})
        return []
    for executor in parsl.dfk().executors:
        if not executor.startswith("_"):
            first, *_ = [app(hold, executor)() for _ in range(4)]
            if executor == "busy":
                app(hold, executor)(first)
    return []


def main(kind: str) -> None:
    load(kind)
    print(json.dumps(begin(kind)), flush=True)
    for _ in sys.stdin:
        [app(hold, "htex")() for _ in range(2)]


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
