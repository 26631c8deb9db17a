#!/usr/bin/env bash
# Parsl, upgraded beside the monitoring.db that it has: no resource row fits any more.
#
# Versions: the database is made by parsl 2024.3.4, the rows come from parsl 2026.10.26; Python 3.10 to 3.12.
# Seen: opening the database succeeds, since `create_all` adds missing tables and never a missing column; a status row is
#   taken; a resource row is refused with OperationalError, `table resource has no column named psutil_cpu_num` (which
#   came with 2024.3.11).
# Why it matters: `DatabaseManager._insert` and `_update` take every OperationalError for a lock and try the same batch
#   again each second, so nothing that follows is recorded, the run's end included. Whoever reads the database sees a
#   run that began, and fell silent. Nothing tells the user but a warning in runinfo/NNN/database_manager.log.
# Source: parsl/monitoring/db_manager.py (class Database, DatabaseManager._insert) of both releases.
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
for release in 2024.3.4 2026.10.26; do
    "$python" -m venv "$folder/$release"
    "$folder/$release/bin/pip" install --quiet --disable-pip-version-check "parsl[monitoring]==$release" 'setuptools<81'
done

cat >"$folder/make.py" <<'PYTHON'
import sys
from parsl.monitoring.db_manager import Database

Database(f"sqlite:///{sys.argv[1]}")
PYTHON

cat >"$folder/write.py" <<'PYTHON'
import sys
from datetime import datetime

import sqlalchemy
from parsl.monitoring.db_manager import Database

database = Database(f"sqlite:///{sys.argv[1]}")
key = {"run_id": "run", "task_id": 0, "try_id": 0, "timestamp": datetime(2026, 1, 1)}
start = {"run_id": "run", "time_began": datetime(2026, 1, 1), "host": "h", "user": "u", "rundir": "/r"}
database.insert(table="workflow", messages=[start | {"tasks_failed_count": 0, "tasks_completed_count": 0}])
database.insert(table="status", messages=[key | {"task_status_name": "running"}])
print("status row: taken")
try:
    database.insert(table="resource", messages=[key | {"psutil_cpu_num": "1"}])  # as the worker's monitor sends it
except sqlalchemy.exc.OperationalError as error:
    database.rollback()
    print(f"resource row: {type(error).__name__}: {error.orig}")
else:
    print("resource row: taken")
PYTHON

"$folder/2024.3.4/bin/python" "$folder/make.py" "$folder/old.db"
"$folder/2026.10.26/bin/python" "$folder/write.py" "$folder/old.db" | tee "$folder/old"
"$folder/2026.10.26/bin/python" "$folder/write.py" "$folder/new.db" | tee "$folder/new"

grep --quiet --fixed-strings 'resource row: OperationalError: table resource has no column named psutil_cpu_num' "$folder/old"
grep --quiet --line-regexp 'status row: taken' "$folder/old"
grep --quiet --line-regexp 'resource row: taken' "$folder/new"
echo "still so"
