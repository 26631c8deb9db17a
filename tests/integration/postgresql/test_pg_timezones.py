"""Runs of several hosts share a database, each with the stamps of its own zone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.oracle import parse
from support.pg import tables
from support.pg.server import Server

from parsl_exporter.cli.main import main

ZONES = {
    "login1.paris": "Europe/Paris",
    "login2.paris": "Europe/Paris",
    "chicago": "America/Chicago",
    "other": "UTC",
}
STAMP = "2026-07-01 12:00:00"


def configured(path: Path, url: str, zones: str) -> list[str]:
    path.write_text(f"timezone: UTC\nsources: [{{url: '{url}', name: s, run_timezones: {zones}}}]\n")
    return ["--config.file", str(path), url]


def test_stamps_are_read_in_the_zone_of_the_host_that_the_run_was_submitted_from(
    server: Server, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    tables.create(server, "zones")
    for host in ZONES:
        server.execute(
            "zones",
            f"INSERT INTO workflow VALUES ('{host}', 'w', '1', '{STAMP}', NULL, '{host}', 'u', '/r', 0, 0)",
            f"INSERT INTO status VALUES (0, 'pending', '{STAMP}', '{host}', 0)",
            f"INSERT INTO block VALUES ('{host}', 'htex', '0', '1', '{STAMP}', 'PENDING')",
        )
    arguments = configured(
        tmp_path / "config.yml",
        server.url("zones", "reader"),
        "{'*.paris': Europe/Paris, chicago: America/Chicago}",
    )

    assert main(["dump", *arguments]) == 0
    page = parse(capsysbinary.readouterr().out.decode())

    for family in (
        "parsl_workflow_start_timestamp_seconds",
        "parsl_task_oldest_timestamp_seconds",
        "parsl_block_state_timestamp_seconds",
    ):
        assert {dict(labels)["run_id"]: value for labels, value in page[family].items()} == {
            host: datetime.fromisoformat(STAMP).replace(tzinfo=ZoneInfo(zone)).timestamp()
            for host, zone in ZONES.items()
        }


@pytest.mark.parametrize(
    ("zones", "says"),
    [
        ("{a: Mars/Olympus}", "no time zone"),
        ("[a]", "expected a mapping"),
        ("{a: local}", "give an IANA name"),
    ],
)
def test_a_zone_that_is_none_is_named_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zones: str, says: str
) -> None:
    assert main(["check", *configured(tmp_path / "config.yml", "postgresql://localhost/x", zones)]) == 1
    assert says in capsys.readouterr().err


def test_what_workers_stamp_is_read_in_their_own_zone(
    server: Server, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Also of the executor whose block row lies behind its workers' rows; `threads` has no block."""
    tables.create(server, "worker_zones")
    run = "run"
    server.execute(
        "worker_zones",
        f"INSERT INTO workflow VALUES ('{run}', 'w', '1', '{STAMP}', NULL, 'host', 'u', '/r', 0, 0)",
    )
    for task_id, executor in enumerate(("htex", "threads")):
        server.execute(
            "worker_zones",
            "INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)"
            f" VALUES ({task_id}, '{run}', 'app', 'False', 0, 0)",
            f"INSERT INTO status VALUES ({task_id}, 'launched', '{STAMP}', '{run}', 0)",
            f"INSERT INTO status VALUES ({task_id}, 'running', '{STAMP}', '{run}', 0)",
            "INSERT INTO try (try_id, task_id, run_id, task_executor, hostname)"
            f" VALUES (0, {task_id}, '{run}', '{executor}', 'node')",
        )
    server.execute(
        "worker_zones", f"INSERT INTO block VALUES ('{run}', 'htex', '0', '1', '{STAMP}', 'RUNNING')"
    )
    config = tmp_path / "config.yml"
    config.write_text(
        "timezone: Europe/Paris\n"
        f"sources: [{{url: '{server.url('worker_zones', 'reader')}', name: s, worker_timezone: UTC}}]\n"
    )

    assert main(["dump", "--config.file", str(config), server.url("worker_zones", "reader")]) == 0
    page = parse(capsysbinary.readouterr().out.decode())

    found = page["parsl_task_oldest_timestamp_seconds"].items()
    assert {dict(labels)["executor"]: value for labels, value in found} == {
        executor: datetime.fromisoformat(STAMP).replace(tzinfo=ZoneInfo(zone)).timestamp()
        for executor, zone in (("htex", "UTC"), ("threads", "Europe/Paris"))
    }
