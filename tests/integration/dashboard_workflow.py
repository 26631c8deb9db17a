"""A small real workflow that shows everything the dashboards draw: run by test_dashboards, in its folder.

Every final state, a retry, CPU and memory use, tasks that wait for workers, two executors, and a second pool whose
block goes away without a worker.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider


@parsl.python_app(executors=["htex"])
def add(x: int, y: int) -> int:
    import time

    time.sleep(0.3)
    return x + y


@parsl.python_app(executors=["htex"])
def burn(seconds: float) -> int:
    import time

    end = time.time() + seconds
    held = bytearray(60_000_000)
    while time.time() < end:
        sum(range(10_000))
    return len(held)


@parsl.python_app(executors=["threads"])
def local_add(x: int, y: int) -> int:
    return x + y


@parsl.python_app(executors=["htex"])
def boom(cpu_seconds: float) -> None:
    import time

    end = time.process_time() + cpu_seconds  # as much on a machine that has other things to do
    while time.process_time() < end:
        sum(range(10_000))
    raise ValueError("on purpose")


@parsl.python_app(cache=True, executors=["htex"])
def remembered(x: int) -> int:
    return x


@parsl.join_app
def joined(n: int) -> list[Future[int]]:
    return [add(i, 1) for i in range(n)]


def pool(label: str, **options: Any) -> HighThroughputExecutor:
    return HighThroughputExecutor(
        label=label,
        max_workers_per_node=2,
        cores_per_worker=0.5,
        encrypted=False,
        address="127.0.0.1",
        **options,
    )


def main() -> None:
    htex = pool("htex", provider=LocalProvider(init_blocks=1, min_blocks=0, max_blocks=1))
    nobody = pool(
        "nobody",
        provider=LocalProvider(init_blocks=1, min_blocks=0, max_blocks=1),
        launch_cmd="/bin/true",
        block_error_handler=False,
    )
    config = Config(
        executors=[htex, nobody, ThreadPoolExecutor(label="threads", max_threads=2)],
        monitoring=MonitoringHub(resource_monitoring_interval=1, workflow_name="dashboards"),
        retries=1,
        strategy="simple",
        strategy_period=1,
    )
    with parsl.load(config):
        first = [burn(6) for _ in range(4)]
        rest = [add(add(i, 1), 2) for i in range(12)] + [local_add(local_add(i, 1), 2) for i in range(4)]
        broken = boom(3)
        remembered(1).result()
        rest += [broken, add(broken, 1), remembered(1), joined(3)]
        for future in first + rest:
            future.exception()
        time.sleep(4)


if __name__ == "__main__":
    main()
