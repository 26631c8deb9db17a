"""The demo's workflow: a small ensemble of simulations, in rounds, until SIGTERM.

`python -m parsl_exporter.demo.workflow` runs it in the working folder, which gets a `runinfo` folder.

It shows what a monitoring database can hold: tasks that depend on others, succeed at a second try, fail, fail with
what they depend on, are remembered or spawn others; CPU and memory in use; Python and Bash apps; a pool of worker
processes whose blocks come with the work and go without it, and a pool of threads.
"""

from __future__ import annotations

import inspect
import signal
import sys
import time
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider

_PAUSE = 12.0
"""Seconds between two rounds: longer than blocks may idle."""


# Apps are sent to the workers, and bring their imports with them.
@parsl.python_app(executors=["htex"])
def simulate(seconds: float) -> float:
    """Use a core and 60 MB for so long."""
    import time

    end = time.monotonic() + seconds
    field = bytearray(b"x" * 60_000_000)
    while time.monotonic() < end:
        sum(field[:100_000])
    return seconds


@parsl.python_app(executors=["htex"])
def analyse(simulated: float) -> float:
    """Wait a little, after the simulation."""
    import time

    time.sleep(0.5)
    return simulated * 2


@parsl.python_app(executors=["htex"])
def check(value: float) -> float:
    """Fail, at every try."""
    raise ValueError(f"{value} does not converge")


@parsl.bash_app(executors=["htex"])
def fetch(name: str) -> str:
    """Fail at the first try and succeed at the second."""
    return f"test -e {name} || {{ touch {name}; exit 3; }}"


@parsl.python_app(executors=["threads"], cache=True)
def lookup(key: int) -> int:
    """Be remembered."""
    return key


@parsl.join_app
def sweep(count: int) -> list[Any]:
    """Spawn further tasks and stand for them."""
    return [analyse(i) for i in range(count)]


@parsl.python_app(executors=["threads"])
def report(*results: float) -> float:
    """Put results together, on the submitting side."""
    import time

    time.sleep(1)
    return sum(results)


def run_round(number: int) -> None:
    """Submit the tasks of one round and wait for all of them, however they end."""
    simulated = [simulate(1.5 + 0.5 * (i % 3)) for i in range(6)]
    analysed = [analyse(one) for one in simulated]
    checked = check(simulated[0])
    others = [
        fetch(f"input-{number}"),
        sweep(3),
        lookup(number % 3),
        lookup(number % 3),
        report(checked),
        report(*analysed),
    ]
    for future in [*analysed, checked, *others]:
        future.exception()


def configuration() -> Config:
    """Two executors on this machine, under monitoring."""
    provider = LocalProvider(init_blocks=0, min_blocks=0, max_blocks=2)
    htex = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=0.5,
        encrypted=False,
        provider=provider,
    )
    monitoring: dict[str, Any] = {"workflow_name": "demo", "resource_monitoring_interval": 1}
    # Needed until Parsl 2025.04, unused since, and to be taken away.
    address = inspect.signature(MonitoringHub).parameters.get("hub_address")
    if address is not None and address.default is inspect.Parameter.empty:
        monitoring["hub_address"] = "127.0.0.1"
    return Config(
        executors=[htex, ThreadPoolExecutor(label="threads", max_threads=2)],
        monitoring=MonitoringHub(**monitoring),
        retries=1,
        strategy="simple",
        strategy_period=1,
        max_idletime=6,
    )


def _end(*_: object) -> None:
    """Leave Parsl's block, once: another exit would break off its cleanup, and its interchange would live on for ever.

    Of a killed demo the signal comes once for each of its threads: a child goes from one to the next (prctl(2)).
    """
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit()


def main() -> None:
    """Run rounds until SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    with parsl.load(configuration()):
        number = 0
        while True:
            run_round(number)
            time.sleep(_PAUSE)
            number += 1


if __name__ == "__main__":
    main()
