"""Why a source shows no run, in the words of the landing page, the log and `check`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.rows import Told, attempt, status, task, workflow, write
from support.source_harness import FakeClock, SourceHarness, emptied, execute, unpacked

from parsl_exporter.cli.check import check
from parsl_exporter.config.duration import duration, spelled
from parsl_exporter.config.settings import Settings, SourceSettings

RETENTION, ABANDON_AFTER = 900.0, 86_400.0
ENDED = "ended longer than `retention` (15m) ago"
SILENT = "without an end and without a new row for `abandon_after` (1d)"


def runs(ended: int, silent: int) -> list[Told]:
    """Runs of long ago."""
    return [workflow(f"ended{i}", completed=10) for i in range(ended)] + [
        workflow(f"silent{i}") for i in range(silent)
    ]


@pytest.mark.parametrize(
    ("ended", "silent", "why"),
    [
        (0, 0, 'no run yet (see "No runs appear?" in docs/causes.md)'),
        (1, 0, f"1 run, which {ENDED}; `dump` shows it"),
        (2, 0, f"2 runs, all {ENDED}; `dump` shows them"),
        (0, 1, f"1 run, {SILENT}; `dump` shows it"),
        (0, 2, f"2 runs, all {SILENT}; `dump` shows them"),
        (2, 1, f"3 runs: 2 {ENDED}, 1 {SILENT}; `dump` shows them"),
    ],
)
def test_a_database_of_finished_runs_says_why_its_page_is_empty(
    folder: Path, ended: int, silent: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = write(folder / "a.db", runs(ended, silent)) if ended + silent else emptied(folder / "a.db")
    watched = SourceHarness(path, retention=RETENTION, abandon_after=ABANDON_AFTER).poll()
    assert watched.runs() == {}
    assert watched.condition == ("up", f"up to date, nothing to show: {why}")
    notes = [getattr(record, "fields", {}) for record in caplog.records if record.getMessage() == "caught up"]
    assert [fields["note"] for fields in notes] == [why]


def test_old_runs_without_a_workflow_row_are_none_that_are_to_come(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    nameless = [task(0, run="r"), attempt(0, run="r"), status(0, "pending", 1, run="r")]
    path = write(folder / "a.db", [*runs(1, 0), *nameless])
    why = f"2 runs: 1 {ENDED}, 1 {SILENT}; `dump` shows them"
    watched = SourceHarness(path, retention=RETENTION, abandon_after=ABANDON_AFTER).poll()
    assert watched.condition == ("up", f"up to date, nothing to show: {why}")
    notes = [getattr(record, "fields", {}) for record in caplog.records if record.getMessage() == "caught up"]
    assert [(fields["runs"], fields.get("note")) for fields in notes] == [(0, why)]
    said: list[str] = []
    check(Settings(timezone="UTC", sources=(SourceSettings(str(path)),)), said.append, FakeClock().clock)
    assert f"nothing to show: {why}" in "".join(said)


def test_a_run_whose_time_is_over_while_it_is_watched_is_told_as_well(folder: Path) -> None:
    path = unpacked(folder / "a.db", "crash-2026.10.26")
    watched = SourceHarness(path, retention=RETENTION).poll()
    assert watched.condition == ("up", "up to date")
    execute(path, "UPDATE workflow SET time_completed = '2026-11-22 10:00:00'")
    watched.poll(2).poll(2, every=2 * RETENTION)
    assert watched.condition == ("up", f"up to date, nothing to show: 1 run, which {ENDED}; `dump` shows it")


@pytest.mark.parametrize("text", ["250ms", "30s", "15m", "1h30m", "1d", "1w2d", "1y", "1s500ms"])
def test_a_duration_is_spelled_as_it_is_read(text: str) -> None:
    assert spelled(duration(text)) == text
