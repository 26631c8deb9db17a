"""A small real workflow that writes to the monitoring database of the URL in its argument, in the working folder."""

from __future__ import annotations

import sys

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider


@parsl.python_app(executors=["htex"])
def add(x: int, y: int) -> int:
    import time  # it runs in a worker

    time.sleep(0.1)
    return x + y


@parsl.python_app(executors=["threads"])
def local_add(x: int, y: int) -> int:
    return x + y


@parsl.python_app(executors=["htex"])
def boom() -> None:
    raise ValueError("on purpose")


def main(url: str) -> None:
    """Run it to its end."""
    config = Config(
        run_dir="runinfo",
        retries=1,
        strategy="none",
        initialize_logging=False,
        executors=[
            HighThroughputExecutor(
                label="htex",
                address="127.0.0.1",
                loopback_address="127.0.0.1",
                max_workers_per_node=2,
                encrypted=False,
                provider=LocalProvider(init_blocks=1, max_blocks=1),
            ),
            ThreadPoolExecutor(label="threads", max_threads=2),
        ],
        monitoring=MonitoringHub(
            hub_address="127.0.0.1", logging_endpoint=url, resource_monitoring_interval=1
        ),
    )
    with parsl.load(config):
        futures = (
            [add(i, i) for i in range(20)] + [local_add(i, i) for i in range(20)] + [boom() for _ in range(3)]
        )
        futures.append(add(futures[-1], 1))
        for future in futures:
            future.exception()


if __name__ == "__main__":
    main(sys.argv[1])
