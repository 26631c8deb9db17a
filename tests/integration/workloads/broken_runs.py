"""One Parsl run that somebody will break, or that breaks by itself: `python broken_runs.py KIND`, in its own folder.

It begins its work and then writes one line of JSON: the process ids of its workers and of their pool. On a line of
standard input it submits more tasks; at the end of its input it cleans up and ends, whatever is still waiting.

healthy   two executors, tasks that wait for each other, a retry, a join, a task for the whole time, idle blocks
hang      the block runs, but the launch of its worker pool hangs
lost      a worker pool that will be killed, in a job that goes on without it
stalled   workers that will be stopped, under a pool that goes on
crash     a submit process that will be killed while its tasks run, which they do until there is a file `end_tasks`
failing   an app that always fails

WORKER_INIT of the environment is run in the workers' shell before their pool.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider


@parsl.python_app(executors=["htex"])
def who_works(seconds: float) -> tuple[int, int]:
    """The worker that runs this, and its parent."""
    import os
    import threading

    threading.Event().wait(seconds)  # Python's sleep refuses a clock of libfaketime's
    return os.getpid(), os.getppid()


@parsl.python_app(executors=["htex"])
def work(seconds: float, *after: Any) -> float:
    import threading

    threading.Event().wait(seconds)
    return seconds


@parsl.python_app(executors=["htex"])
def work_until(file: str) -> None:
    import os
    import time

    while not os.path.exists(file):  # noqa: PTH110
        time.sleep(0.1)


@parsl.bash_app(executors=["htex"])
def second_try(name: str) -> str:
    return f"test -e {name} || {{ touch {name}; exit 3; }}"


@parsl.join_app
def joined(count: int) -> list[Any]:
    return [work(0.2) for _ in range(count)]


@parsl.python_app(executors=["threads"])
def local(*after: Any) -> None:
    return None


@parsl.python_app(executors=["threads"])
def boom() -> None:
    raise ValueError("on purpose")


def pool(**options: Any) -> HighThroughputExecutor:
    """Two workers in one block, quick to notice that they are gone."""
    return HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=0.5,
        encrypted=False,
        heartbeat_period=1,
        heartbeat_threshold=5,
        provider=LocalProvider(
            init_blocks=1, min_blocks=1, max_blocks=1, worker_init=os.environ.get("WORKER_INIT", "")
        ),
        **options,
    )


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(label="threads", max_threads=2)


def executors(kind: str) -> list[Any]:
    if kind == "hang":
        return [pool(launch_cmd="sleep 600")]
    if kind == "lost":
        own = inspect.signature(HighThroughputExecutor).parameters["launch_cmd"].default
        default = own or parsl.executors.high_throughput.executor.DEFAULT_LAUNCH_CMD
        return [pool(launch_cmd=f"{default} || sleep 600")]
    if kind == "failing":
        return [threads()]
    return [pool(), threads()]


def load(kind: str) -> None:
    hub: dict[str, Any] = {"workflow_name": kind, "resource_monitoring_interval": 1}
    # Needed until Parsl 2025.04, unused since, and to be taken away.
    address = inspect.signature(MonitoringHub).parameters.get("hub_address")
    if address is not None and address.default is inspect.Parameter.empty:
        hub["hub_address"] = "127.0.0.1"
    parsl.load(
        Config(
            executors=executors(kind),
            monitoring=MonitoringHub(**hub),
            retries=3 if kind != "failing" else 0,
            strategy="simple",
            strategy_period=1,
            exit_mode="skip",
        )
    )


def begin(kind: str) -> list[tuple[int, int]]:
    """Submit the first tasks; gives the workers that were seen, each with its parent."""
    if kind == "hang":
        [work(1) for _ in range(4)]
        return []
    if kind == "failing":
        for future in [*(local() for _ in range(5)), *(boom() for _ in range(5))]:
            future.exception()
        return []
    seen = [future.result() for future in [who_works(1) for _ in range(4)]]
    if kind == "crash":
        [work_until(str(Path("end_tasks").absolute())) for _ in range(2)]
    if kind == "healthy":
        work(600)
    return sorted(set(seen))


def go_on(kind: str) -> None:
    """Submit more tasks."""
    if kind == "healthy":
        for future in [joined(2), local(work(0.1)), second_try("tried"), *(work(0.5) for _ in range(4))]:
            future.result()
    elif kind == "failing":
        local().result()
    else:
        [work(1) for _ in range(4)]


def main(kind: str, told: Callable[[], str]) -> None:
    load(kind)
    seen = begin(kind)
    workers, pools = [worker for worker, _ in seen], sorted({parent for _, parent in seen})
    print(json.dumps({"workers": workers, "pools": pools}), flush=True)
    while told():
        go_on(kind)
    parsl.dfk().cleanup()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.readline)
