"""Every way in which a server can be wrong, made for real: what a person sees, and that it heals."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.oracle import parse
from support.pg import tables
from support.pg.proxy import Proxy
from support.pg.server import PASSWORD, Server, folder, running
from support.pg.watching import SWEEP, Watch, settle
from support.processes import free_port
from support.source_harness import DATA, unpacked

from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import options_of
from parsl_exporter.source.source import Source

NEW_RUN = (
    "INSERT INTO workflow VALUES ('new', 'w', '1', '2026-11-22 09:00:00', NULL, 'h', 'u', '/r', 0, 0)",
    "INSERT INTO status SELECT n, 'pending', '2026-11-22 09:00:01', 'new', 0 FROM generate_series(0, 99) n",
)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as one:
        one.create("runs")
        tables.restore(one, "runs")
        yield one


def reason_of(watch: Watch) -> set[str]:
    counted = parse(watch.poll())["parsl_exporter_errors_total"]
    return {dict(labels)["reason"] for labels, value in counted.items() if value}


def healed(watch: Watch, server: Server, scratch: Path) -> None:
    watch.wait(lambda: watch.up)
    assert settle(watch, server, "runs", scratch / "twin.db", 8 * SWEEP + watch.close_after) == []
    assert watch.falls == []


def test_a_server_that_is_down_at_the_start_is_read_when_it_comes(server: Server, tmp_path: Path) -> None:
    server.stop()
    with Watch(server.url("runs", "reader")) as watch:
        assert reason_of(watch) == {"connection"}
        assert "Connection refused" in watch.condition
        assert not watch.source.published.ready

        server.start()
        healed(watch, server, tmp_path)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_stops_leaves_the_page_and_is_read_anew_when_it_is_back(
    server: Server, tmp_path: Path, mode: str
) -> None:
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)
        server.stop(mode)
        assert reason_of(watch) == {"connection"}
        assert "parsl_tasks{" in watch.poll()

        server.start()
        server.execute("runs", *NEW_RUN)
        healed(watch, server, tmp_path)


def test_a_login_that_is_refused_is_named_without_the_password(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.trust(everyone=False)
    server.reload()
    wrong = server.url("runs", "reader:wr0ng-pw")
    with Watch(wrong) as watch:
        watch.wait(lambda: not watch.up)
        assert reason_of(watch) == {"login"}
        assert "password authentication failed" in watch.condition
        assert "wr0ng" not in watch.condition + caplog.text + watch.poll()

    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:*:*:reader:{PASSWORD}\n")
    passfile.chmod(0o600)
    with Watch(f"{server.url('runs', 'reader')}?passfile={passfile}") as watch:
        healed(watch, server, tmp_path)
        assert PASSWORD not in watch.poll()


def test_a_password_in_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.trust(everyone=False)
    server.reload()
    monkeypatch.setitem(os.environ, "PGPASSWORD", PASSWORD)
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)


def test_a_server_without_free_connections_is_waited_for(server: Server, tmp_path: Path) -> None:
    with Watch(server.url("runs", "reader")) as watch, ExitStack() as held:
        healed(watch, server, tmp_path)
        server.execute("postgres", "ALTER ROLE reader CONNECTION LIMIT 0")
        for _ in range(30):
            held.enter_context(server.connect("postgres"))
        server.execute(
            "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'"
        )
        watch.wait(lambda: "too many connections" in watch.condition)
        assert reason_of(watch) == {"connection"}

        server.execute("postgres", "ALTER ROLE reader CONNECTION LIMIT -1")
        healed(watch, server, tmp_path)


def test_a_database_that_takes_no_connections_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.execute("postgres", "ALTER DATABASE runs ALLOW_CONNECTIONS false")
    with Watch(server.url("runs", "reader")) as watch:
        watch.wait(lambda: "not currently accepting connections" in watch.condition)
        server.execute("postgres", "ALTER DATABASE runs ALLOW_CONNECTIONS true")
        healed(watch, server, tmp_path)


def test_a_table_that_is_locked_is_waited_for(server: Server, tmp_path: Path) -> None:
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)
        with server.connect("runs") as writer:
            writer.execute("BEGIN")
            writer.execute("LOCK TABLE status IN ACCESS EXCLUSIVE MODE")
            server.execute("runs", "CREATE TABLE something (it int)")
            watch.poll()
            assert watch.up
            assert reason_of(watch) == set()
            writer.execute("ROLLBACK")
        healed(watch, server, tmp_path)


def test_a_server_that_answers_slowly_is_read_all_the_same(server: Server, tmp_path: Path) -> None:
    with closing(Proxy(server.port)) as proxy:
        proxy.delay = 0.05
        with Watch(server.url("runs", "reader", proxy.port)) as watch:
            healed(watch, server, tmp_path)


def test_a_network_that_is_cut_without_a_reset_is_given_up_in_time_and_stops_no_other_source(
    server: Server, tmp_path: Path
) -> None:
    baton = Baton()
    other = sqlite_source(tmp_path, baton)
    with (
        closing(Proxy(server.port)) as proxy,
        Watch(server.url("runs", "reader", proxy.port), baton=baton) as watch,
    ):
        healed(watch, server, tmp_path)
        proxy.cut = True
        with watch.polled_elsewhere():
            longest = 0.0
            until = time.monotonic() + 15
            while watch.up and time.monotonic() < until:
                begin = time.monotonic()
                other.poll()
                longest = max(longest, time.monotonic() - begin)
                time.sleep(0.05)
        assert not watch.up
        assert reason_of(watch) <= {"timeout", "connection"}
        assert longest < 0.5

        proxy.cut = False
        server.execute("runs", *NEW_RUN)
        healed(watch, server, tmp_path)


def sqlite_source(tmp_path: Path, baton: Baton) -> Source:
    path = unpacked(tmp_path / "other.db", "multi-2026.10.26")
    return Source(
        SqliteReader(path),
        options_of(Settings(), SourceSettings(str(path)), "other"),
        baton=baton,
        clock=Clock(),
        started=0.0,
        series_left=lambda: 1 << 60,
    )


def test_a_failover_to_another_server_with_the_same_data_changes_nothing(
    server: Server, tmp_path: Path
) -> None:
    with (
        folder() as path,
        closing(Proxy(server.port)) as proxy,
        Watch(server.url("runs", "reader", proxy.port)) as watch,
    ):
        healed(watch, server, tmp_path)
        other = server.copy_to(path, free_port())
        server.stop("immediate")
        other.start()
        try:
            proxy.target = other.port
            other.execute("runs", *NEW_RUN)
            healed(watch, other, tmp_path)
        finally:
            other.stop("immediate")


def test_a_failover_to_a_server_that_lacks_the_last_commits_is_read_as_that_server_is(
    server: Server, tmp_path: Path
) -> None:
    with (
        folder() as path,
        closing(Proxy(server.port)) as proxy,
        Watch(server.url("runs", "reader", proxy.port)) as watch,
    ):
        other = server.copy_to(path, free_port())
        server.execute("runs", *NEW_RUN)
        healed(watch, server, tmp_path)
        server.stop("immediate")
        other.start()
        try:
            proxy.target = other.port
            other.execute("runs", *(statement.replace("'new'", "'another'") for statement in NEW_RUN))
            watch.wait(lambda: watch.up)
            assert settle(watch, other, "runs", tmp_path / "twin.db", 20) == []
        finally:
            other.stop("immediate")


def test_a_database_that_is_made_anew_is_read_anew(server: Server, tmp_path: Path) -> None:
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)
        server.execute("postgres", "DROP DATABASE runs WITH (FORCE)")
        watch.wait(lambda: not watch.up)
        watch.wait(lambda: "does not exist" in watch.condition)
        assert "missing" in reason_of(watch)

        tables.create(server, "runs")
        server.execute("runs", *NEW_RUN)
        watch.wait(lambda: watch.up)
        assert settle(watch, server, "runs", tmp_path / "twin.db", 20) == []


def test_a_database_without_tables_is_read_when_parsl_has_made_them(server: Server, tmp_path: Path) -> None:
    server.create("empty")
    with Watch(server.url("empty", "reader")) as watch:
        assert reason_of(watch) == {"schema"}
        assert "has none of Parsl's tables yet" in watch.condition
        tables.restore(server, "empty")
        watch.wait(lambda: watch.up)
        assert settle(watch, server, "empty", tmp_path / "twin.db", 20) == []


def test_tables_that_parsl_visualize_made_are_called_that_and_put_away(
    server: Server, tmp_path: Path
) -> None:
    schemas = json.loads((DATA / "schemas.json").read_text())
    server.create("early")
    for table, columns in schemas["parsl-visualize 2026.10.26"].items():
        named = ", ".join(f'"{column}" text' for column in columns.split())
        server.execute("early", f'CREATE TABLE "{table}" ({named})', f'GRANT SELECT ON "{table}" TO reader')
    with Watch(server.url("early", "reader")) as watch:
        assert reason_of(watch) == {"schema"}
        assert "its tables were made by parsl-visualize before the first run" in watch.condition
        assert "have runs write to a new database (logging_endpoint of MonitoringHub)" in watch.condition
        server.execute("early", *(f'DROP TABLE "{table}"' for table in schemas["parsl-visualize 2026.10.26"]))
        tables.restore(server, "early")
        watch.wait(lambda: watch.up)
        assert settle(watch, server, "early", tmp_path / "twin.db", 20) == []


def test_a_role_that_may_not_read_is_told_what_to_grant(server: Server) -> None:
    server.execute("runs", "REVOKE SELECT ON status, node FROM reader")
    with Watch(server.url("runs", "reader")) as watch:
        assert reason_of(watch) == {"unreadable"}
        assert "grant this role SELECT on node, status" in watch.condition
        server.execute("runs", "GRANT SELECT ON status, node TO reader")
        watch.wait(lambda: watch.up)


def test_a_standby_is_refused(server: Server) -> None:
    with folder() as path:
        standby = server.copy_to(path, free_port())
        (standby.data / "standby.signal").touch()
        standby.start()
        try:
            with Watch(standby.url("runs", "reader")) as watch:
                assert reason_of(watch) == {"unsupported"}
                assert "is a standby" in watch.condition
        finally:
            standby.stop("immediate")


@pytest.mark.parametrize("statement", [
    "DELETE FROM resource WHERE task_id < 10",
    "TRUNCATE block",
    "VACUUM FULL status",
    "UPDATE status SET task_status_name = 'failed' WHERE task_status_name = 'exec_done'",
])  # fmt: skip
def test_rows_that_are_deleted_changed_or_moved_are_read_anew(
    server: Server, tmp_path: Path, statement: str
) -> None:
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)
        server.execute("runs", statement)
        server.execute("runs", "VACUUM", *NEW_RUN)
        assert settle(watch, server, "runs", tmp_path / "twin.db", 30) == []


def test_rows_that_vacuum_full_moves_into_the_gaps_of_a_rollback_are_not_counted_again(
    server: Server, tmp_path: Path
) -> None:
    with server.connect("runs") as writer:
        writer.execute("BEGIN")
        writer.execute(NEW_RUN[0])
        writer.execute(NEW_RUN[1])
        writer.execute("ROLLBACK")
    server.execute("runs", *NEW_RUN)
    with Watch(server.url("runs", "reader")) as watch:
        healed(watch, server, tmp_path)
        server.execute("runs", "VACUUM FULL status")
        healed(watch, server, tmp_path)
