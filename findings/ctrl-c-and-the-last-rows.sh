#!/usr/bin/env bash
# Parsl 2026.10.26: Ctrl-C ends the process that writes the database, while the workflow cleans up and goes on.
#
# A terminal sends SIGINT to all processes of the foreground's group. Parsl's database process is one of them: it writes that
# the run has ended now, and ends with a traceback. A workflow that catches KeyboardInterrupt and leaves `with
# parsl.load(config)` cleanly sends its last rows to nobody, and is told nothing: its exit status is 0.
#
# Seen: after SIGINT to the process group the run ends at the signal by `workflow.time_completed`, and the task that runs
#   then, and that Parsl waits for, has no row `exec_done`. After SIGINT to the workflow's process alone that row is there,
#   and the run ends after it.
# Why it matters: whoever reads the database sees a run that is over, with tasks that run for ever; what the workflow did
#   after the signal, and the second or so of rows that waited to be written, are nowhere.
# Source: parsl/monitoring/db_manager.py (dbm_starter, DatabaseManager.close), parsl/monitoring/monitoring.py
#   (MonitoringHub.start, which leaves its processes in the workflow's group, with signals as they are).
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
        first, second = sleeper(0), sleeper(8)
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
from datetime import datetime

whole_group = sys.argv[1] == "group"


def rows(sql):
    try:
        with sqlite3.connect("file:runinfo/monitoring.db?mode=ro", uri=True) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:  # not there yet
        return []


signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started to ignore it
began = time.monotonic()
workflow = subprocess.Popen([sys.executable, "workflow.py"], process_group=0)
while not rows("SELECT 1 FROM status WHERE task_id = 1 AND task_status_name = 'running'"):
    assert workflow.poll() is None and time.monotonic() < began + 60
    time.sleep(0.1)
signalled = datetime.now()
(os.killpg if whole_group else os.kill)(workflow.pid, signal.SIGINT)
print(f"the workflow ends with {workflow.wait(60)}, {(datetime.now() - signalled).total_seconds():.1f} s after the signal")
((ended,),) = rows("SELECT time_completed FROM workflow")
((done,),) = rows("SELECT count(*) FROM status WHERE task_id = 1 AND task_status_name = 'exec_done'")
after = (datetime.fromisoformat(ended) - signalled).total_seconds()
print(f"by time_completed it ended {after:.1f} s after the signal")
print(f"end of the run: {'with the signal' if after < 2 else 'later'}, of its last task: {'written' if done else 'not written'}")
PYTHON

for whom in group process; do
    mkdir "$folder/$whom"
    cp "$folder/workflow.py" "$folder/$whom"
    (cd "$folder/$whom" && PATH="$folder/venv/bin:$PATH" timeout 150 python "$folder/interrupt.py" "$whom" 2>"$folder/$whom.err") |
        tee "$folder/$whom.log" | sed "s/^/SIGINT to the $whom: /"
    grep --quiet --line-regexp 'left cleanly' "$folder/$whom.log"
    grep --quiet 'the workflow ends with 0,' "$folder/$whom.log"
done
grep --quiet --line-regexp 'end of the run: with the signal, of its last task: not written' "$folder/group.log"
grep --quiet --line-regexp 'end of the run: later, of its last task: written' "$folder/process.log"
grep --quiet 'db_manager.py.*in dbm_starter' "$folder/group.err"
echo "still so"
