"""Runs of several hosts share a database, each with the stamps of its own zone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from oracle import parse
from pg import tables
from pg.server import Server

from parsl_exporter.cli import main

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
