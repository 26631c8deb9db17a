#!/usr/bin/env bash
# Parsl 2026.10.26: Ctrl-C ends the process that writes the database, and the workflow's end is not recorded.
#
# A terminal sends SIGINT to all processes of the foreground's group. Parsl's database process is one of them, and takes it
# for a reason to end. A workflow that catches KeyboardInterrupt and leaves `with parsl.load(config)` cleanly sends its
# last rows, that of its end among them, to nobody, and says nothing: its exit status is 0.
#
# Seen: after SIGINT to the process group `workflow.time_completed` is NULL, and the task that runs then, and comes to its
#   end while Parsl cleans up, has no row `exec_done`. After SIGINT to the workflow's process alone both are there.
# Why it matters: whoever reads the database sees a run that lives, and then one that has fallen silent.
# Source: parsl/monitoring/db_manager.py (dbm_starter, DatabaseManager.start), parsl/monitoring/monitoring.py
#   (MonitoringHub.start, which leaves signals and the process group of its processes as they are).
# Exits 1 when that is not so any more.
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'parsl[monitoring]==2026.10.26'

cat >"$folder/workflow.py" <<'PYTHON'
import time

import parsl
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor
from parsl.monitoring import MonitoringHub


@parsl.python_app
def sleeper(seconds):
    time.sleep(seconds)


if __name__ == "__main__":
    with parsl.load(Config(executors=[ThreadPoolExecutor()], monitoring=MonitoringHub())):
        first, second = sleeper(0), sleeper(12)
        try:
            first.result()
            second.result()
        except KeyboardInterrupt:
            print("interrupted")
    print("left cleanly")
PYTHON

cat >"$folder/interrupt.py" <<'PYTHON'
import os
import signal
import sqlite3
import subprocess
import sys
import time

whole_group = sys.argv[1] == "group"


def rows(sql):
    try:
        with sqlite3.connect("file:runinfo/monitoring.db?mode=ro", uri=True) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:  # not there yet
        return []


began = time.monotonic()
workflow = subprocess.Popen([sys.executable, "workflow.py"], process_group=0)
while not rows("SELECT 1 FROM status WHERE task_id = 1 AND task_status_name = 'running'"):
    assert workflow.poll() is None and time.monotonic() < began + 60
    time.sleep(0.1)
(os.killpg if whole_group else os.kill)(workflow.pid, signal.SIGINT)
print(f"the workflow ends with {workflow.wait(60)}")
((ended,),) = rows("SELECT time_completed IS NOT NULL FROM workflow")
((done,),) = rows("SELECT count(*) FROM status WHERE task_id = 1 AND task_status_name = 'exec_done'")
print(f"end of the run: {'written' if ended else 'not written'}, end of its last task: {'written' if done else 'not written'}")
PYTHON

for whom in group process; do
    mkdir "$folder/$whom"
    cp "$folder/workflow.py" "$folder/$whom"
    (cd "$folder/$whom" && PATH="$folder/venv/bin:$PATH" timeout 150 python "$folder/interrupt.py" "$whom") |
        tee "$folder/$whom.log" | sed "s/^/SIGINT to the $whom: /"
    grep --quiet --line-regexp 'left cleanly' "$folder/$whom.log"
    grep --quiet --line-regexp 'the workflow ends with 0' "$folder/$whom.log"
done
grep --quiet --line-regexp 'end of the run: not written, end of its last task: not written' "$folder/group.log"
grep --quiet --line-regexp 'end of the run: written, end of its last task: written' "$folder/process.log"
echo "still so"
