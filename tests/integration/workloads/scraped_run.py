"""A Parsl run of half a minute that test_prometheus watches: every final state, retries, joins, two executors."""

from __future__ import annotations

import time
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider

WORKERS = 2


@parsl.python_app(executors=["htex"])
def hold(seconds: float) -> float:
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end - 0.2:
        sum(range(1_000))
        time.sleep(0.05)
    return seconds


@parsl.python_app(executors=["htex"])
def add(x: int, y: int) -> int:
    return x + y


@parsl.python_app(executors=["threads"])
def local(x: Any) -> Any:
    return x


@parsl.python_app(executors=["htex"])
def boom() -> None:
    raise ValueError("on purpose")


@parsl.python_app(cache=True, executors=["htex"])
def remembered(x: int) -> int:
    return x


@parsl.join_app
def joined(count: int) -> list[Any]:
    return [add(i, 1) for i in range(count)]


def main() -> None:
    htex = HighThroughputExecutor(
        label="htex",
        max_workers_per_node=WORKERS,
        cores_per_worker=0.5,
        encrypted=False,
        address="127.0.0.1",
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    config = Config(
        executors=[htex, ThreadPoolExecutor(label="threads", max_threads=2)],
        monitoring=MonitoringHub(resource_monitoring_interval=1, workflow_name="scraped"),
        retries=1,
    )
    with parsl.load(config):
        futures = [hold(4) for _ in range(2 * WORKERS)]
        for i in range(6):
            futures.append(add(i, add(i, 1)))
            time.sleep(0.5)
        futures += [local(local(i)) for i in range(3)]
        broken = boom()
        remembered(1).result()
        futures += [broken, local(broken), remembered(1), joined(3)]
        for future in futures:
            future.exception()


if __name__ == "__main__":
    main()
