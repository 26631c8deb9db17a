"""A Parsl run with an exporter beside it, which test_workflow tells what to do: a line at a time, and answers each.

`N`: so many tasks; `fork`: a process that holds all descriptors open and outlives this one; the end of input: the end.
"""

from __future__ import annotations

import os
import re
import sys
import time

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider
from support.loopback import text_of

import parsl_exporter


@parsl.python_app
def add(x: int, y: int) -> int:
    return x + y


def config_of(kind: str) -> Config:
    run_dir = "runs here"
    if kind == "htex":
        run_dir = "runs"  # its workers do not start where there is a space in it
        executor: HighThroughputExecutor | ThreadPoolExecutor = HighThroughputExecutor(
            label="htex", max_workers_per_node=1, cores_per_worker=0.5, encrypted=False, address="127.0.0.1",
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
        )  # fmt: skip
    else:
        executor = ThreadPoolExecutor(label="threads", max_threads=2)
    monitoring = MonitoringHub(workflow_name="served", resource_monitoring_interval=1)
    return Config(executors=[executor], monitoring=monitoring, run_dir=run_dir)


def do(order: str) -> None:
    if order == "fork":
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
    else:
        assert [add(i, 1).result() for i in range(int(order))] == list(range(1, int(order) + 1))
    print(order, flush=True)


def main(address: str, kind: str) -> None:
    config = config_of(kind)
    with parsl_exporter.serve(config, address=address) as exporter:
        try:
            with parsl.load(config):
                print(exporter.url, flush=True)
                for line in sys.stdin:
                    do(line.strip())
        except KeyboardInterrupt:
            done = re.findall(r'parsl_tasks\{.*"exec_done"\} (\d+)', text_of(f"{exporter.url}/metrics"))
            print(f"{'+'.join(done)} done as the exporter says", flush=True)
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
