"""Writers that behave like Parsl's database manager on a bad day: each a run, its transactions ended at random."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg

from support.pg.server import USER, Server

Work = list[tuple[str, dict[str, Any]]]


class Writer(threading.Thread):
    """One run: until `stop` is set it runs tasks, then it ends the run. `error` is what ended it early."""

    def __init__(self, server: Server, database: str, seed: int, stop: threading.Event) -> None:
        super().__init__(name=f"writer {seed}", daemon=True)
        self.error: Exception | None = None
        self.committed = 0
        self._server = server
        self._database = database
        self._ending = stop
        self._random = random.Random(seed)
        self._connection: psycopg.Connection[Any] | None = None
        self._run_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._host = f"host{seed % 3}"
        self._now = datetime(2026, 3, 1, tzinfo=timezone.utc) + timedelta(hours=seed)

    def run(self) -> None:
        """Write."""
        try:
            self._commit([_insert(
                "workflow", run_id=self._run_id, workflow_name="w", workflow_version="1", time_began=self._stamp(),
                host=self._host, user="u", rundir="/r", tasks_failed_count=0, tasks_completed_count=0,
            )])  # fmt: skip
            self._commit([self._block("PENDING")])
            self._commit([self._block("RUNNING"), self._node(active=True)])
            task_id = 0
            while not self._ending.is_set():
                tasks = range(task_id, task_id + self._random.randint(1, 12))
                task_id = tasks.stop
                for work in self._batch(tasks):
                    self._commit(work)
            self._commit([self._node(active=False), self._block("COMPLETED")])
            self._commit([(
                "UPDATE workflow SET time_completed = %(at)s WHERE run_id = %(run)s",
                {"at": self._stamp(), "run": self._run_id},
            )])  # fmt: skip
        except Exception as error:
            self.error = error
        finally:
            if self._connection is not None:
                self._connection.close()

    # --- what a run writes, in the order of Parsl's commits --------------------------------------------------

    def _batch(self, tasks: range) -> Iterator[Work]:
        yield [_insert("task", task_id=t, run_id=self._run_id, task_func_name=f"app{t % 4}", task_memoize="False",
                       task_time_invoked=self._stamp(), task_fail_count=0, task_fail_cost=0.0)
               for t in tasks]  # fmt: skip
        failing = {t for t in tasks if self._random.random() < 0.2}
        for try_id in (0, 1):
            here = [t for t in tasks if try_id == 0 or t in failing]
            if here:
                yield from self._tries(here, try_id, failing if try_id == 0 else set())
        yield [("UPDATE task SET task_time_returned = %(at)s WHERE task_id = %(t)s AND run_id = %(run)s",
                {"at": self._stamp(), "t": t, "run": self._run_id}) for t in tasks]  # fmt: skip

    def _tries(self, tasks: list[int], try_id: int, failing: set[int]) -> Iterator[Work]:
        yield [self._status(t, try_id, state) for state in ("pending", "launched") for t in tasks]
        yield [_insert("try", try_id=try_id, task_id=t, run_id=self._run_id, task_executor=f"htex{t % 2}",
                       task_try_time_launched=self._stamp()) for t in tasks]  # fmt: skip
        ended = [self._status(t, try_id, "fail_retryable" if t in failing else "exec_done") for t in tasks]
        worked = [self._status(t, try_id, state) for state in ("running", "running_ended") for t in tasks]
        placed: Work = [
            ("UPDATE try SET block_id = '0', hostname = %(host)s, task_fail_history = %(failure)s"
             " WHERE try_id = %(try)s AND task_id = %(t)s AND run_id = %(run)s",
             {"host": self._host, "failure": "ValueError('x')" if t in failing else None, "try": try_id, "t": t,
              "run": self._run_id})
            for t in tasks
        ]  # fmt: skip
        samples = [self._sample(t, try_id, n) for n in range(self._random.randint(1, 4)) for t in tasks]
        order = [ended, worked, samples] if self._random.random() < 0.5 else [worked, samples, ended]
        yield from order
        yield [*placed, self._node(active=True)]

    def _status(self, task_id: int, try_id: int, state: str) -> tuple[str, dict[str, Any]]:
        return _insert("status", task_id=task_id, try_id=try_id, run_id=self._run_id, task_status_name=state,
                       timestamp=self._stamp())  # fmt: skip

    def _sample(self, task_id: int, try_id: int, n: int) -> tuple[str, dict[str, Any]]:
        return _insert("resource", try_id=try_id, task_id=task_id, run_id=self._run_id, timestamp=self._stamp(),
                       resource_monitoring_interval=1.0, psutil_process_pid=1, psutil_process_memory_percent=1.0,
                       psutil_process_children_count=n % 2, psutil_process_time_user=1.0 + n,
                       psutil_process_time_system=0.5 * n, psutil_process_memory_virtual=2e8,
                       psutil_process_memory_resident=1e8 * (n + 1), psutil_process_disk_read=1e3 * n,
                       psutil_process_disk_write=2e3 * n, psutil_process_status="x" * self._random.randint(1, 30),
                       psutil_process_num_ctx_switches_voluntary=n,
                       psutil_process_num_ctx_switches_involuntary=0)  # fmt: skip

    def _block(self, state: str) -> tuple[str, dict[str, Any]]:
        return _insert("block", run_id=self._run_id, executor_label="htex0", block_id="0", job_id="7",
                       timestamp=self._stamp(), status=state)  # fmt: skip

    def _node(self, *, active: bool) -> tuple[str, dict[str, Any]]:
        return _insert("node", run_id=self._run_id, hostname=self._host, uid="manager", block_id="0", cpu_count=4,
                       total_memory=2**33, active=active, worker_count=4, python_v="3.11.7",
                       timestamp=self._stamp(), last_heartbeat=self._stamp())  # fmt: skip

    def _stamp(self) -> datetime:
        self._now += timedelta(microseconds=self._random.randint(1, 20_000))
        return self._now.replace(tzinfo=None)

    # --- how it is committed ---------------------------------------------------------------------------------

    def _commit(self, work: Work) -> None:
        """Commit all of it, once, after some tries that fail or are taken back."""
        while True:
            try:
                if self._transaction(work):
                    self.committed += len(work)
                    return
            except psycopg.OperationalError:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                time.sleep(0.05)

    def _transaction(self, work: Work) -> bool:
        if self._connection is None:
            self._connection = psycopg.connect(
                host="127.0.0.1", port=self._server.port, user=USER, dbname=self._database, connect_timeout=5
            )
        connection, chance = self._connection, self._random
        for i in range(0, len(work), 8):
            part = work[i : i + 8]
            if chance.random() < 0.3:
                connection.execute("SAVEPOINT one")
                for statement, values in part:
                    connection.execute(statement, values)
                if chance.random() < 0.5:
                    connection.execute("ROLLBACK TO one")
                    self._execute(connection, part)
                connection.execute("RELEASE one")
            else:
                self._execute(connection, part)
            if chance.random() < 0.2:
                time.sleep(chance.random() * 0.1)
        if chance.random() < 0.2:
            connection.rollback()
            return False
        connection.commit()
        return True

    def _execute(self, connection: psycopg.Connection[Any], work: Work) -> None:
        for statement, values in work:
            connection.execute(statement, values)


def _insert(table: str, **values: Any) -> tuple[str, dict[str, Any]]:
    # What a transaction that was cut off had committed all the same is not inserted twice.
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f"%({name})s" for name in values)
    return f'INSERT INTO "{table}" ({names}) VALUES ({places}) ON CONFLICT DO NOTHING', values
