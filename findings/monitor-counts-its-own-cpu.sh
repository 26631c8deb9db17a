#!/bin/bash
# Parsl 2026.10.26 charges a task with the CPU time of the process that watches it.
#
# With resource monitoring, the worker forks a monitor for each task (parsl/monitoring/remote.py). It adds up the CPU time of
# the worker process and of all its children, recursively, and is one of those children itself. So the difference
# of the first and the last sample of a task, the only way to tell what it used as the worker runs many, holds what
# sampling it cost: about 0.03 s a sample here, 3 % of a core at an interval of 1 s. psutil_process_children_count
# and memory count the monitor, too; unlike these, its CPU time grows with the number of samples.
#
# Seen: a task that only slept, for 15 s, sampled each second: 0.3 to 0.6 s of CPU time, one child throughout.
# Exits 1 when that is not so any more.
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'parsl[monitoring]==2026.10.26'
export PATH="$folder/venv/bin:$PATH"

cat >sleeper.py <<'END'
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider


@parsl.python_app
def sleeper(seconds):
    import time

    before = time.process_time()
    time.sleep(seconds)
    return time.process_time() - before


if __name__ == "__main__":
    executor = HighThroughputExecutor(
        max_workers_per_node=1,
        encrypted=False,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with parsl.load(Config(executors=[executor], monitoring=MonitoringHub(resource_monitoring_interval=1))):
        print(f"the task's own process used {sleeper(15).result():.2f} s of CPU time")
END
timeout 180 python sleeper.py

python - <<'END'
import sqlite3
import sys

with sqlite3.connect("file:runinfo/monitoring.db?mode=ro", uri=True) as connection:
    samples, used, children = connection.execute(
        "SELECT count(*), max(psutil_process_time_user) - min(psutil_process_time_user)"
        " + max(psutil_process_time_system) - min(psutil_process_time_system),"
        " max(psutil_process_children_count) FROM resource"
    ).fetchone()
print(f"its {samples} samples say {used:.2f} s, and {children:g} child")
sys.exit(0 if used > 0.1 and children == 1 else 1)
END
