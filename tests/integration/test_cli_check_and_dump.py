"""`check` and `dump` as a user runs them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from support.exporter_process import run
from support.source_harness import unpacked, with_runinfo

pytestmark = [pytest.mark.integration, pytest.mark.apart]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_runinfo(tmp_path)


CORPUS = (
    "std-2026.10.26",
    "std-2024.3.4",
    "std-1.2.0",
    "multi-2026.10.26",
    "crash-2026.10.26",
    "managerlost-2026.10.26",
    "scaling_simple-2026.10.26",
    "unicode-2026.10.26",
)


class TestCheck:
    @pytest.mark.parametrize("name", CORPUS)
    def test_it_reports_what_a_database_holds(self, name: str, tmp_path: Path) -> None:
        database = unpacked(tmp_path / "monitoring.db", name)
        with closing(sqlite3.connect(database)) as connection:
            runs, tasks = connection.execute(
                "SELECT (SELECT count(*) FROM (SELECT run_id FROM workflow UNION SELECT run_id FROM task)),"
                " (SELECT count(*) FROM task)"
            ).fetchone()
        done = run("check", database, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{database}: ok\n")
        assert f"  runs     {runs}, " in done.stdout
        assert f", task {tasks:,}, try " in done.stdout
        assert done.stdout.endswith("\n0 faults\n")

    def test_it_names_the_columns_that_an_old_release_lacks(self, tmp_path: Path) -> None:
        database = unpacked(tmp_path / "monitoring.db", "std-1.2.0")
        told = run("check", database, cwd=tmp_path).stdout
        assert "  schema   without " in told
        assert "move the\n           file away before the first run with a later Parsl\n" in told

    def test_it_tells_how_many_series_to_expect(self, tmp_path: Path) -> None:
        database = unpacked(tmp_path / "monitoring.db", "crash-2026.10.26")
        (tmp_path / "exporter.yml").write_text("abandon_after: 100y\n")
        done = run("check", "--config.file", "exporter.yml", database, cwd=tmp_path)
        told = next(line for line in done.stdout.splitlines() if line.startswith("  series "))
        expected = int(told.removeprefix("  series   about ").replace(",", ""))
        page = run("dump", database, cwd=tmp_path).stdout
        lines = page.splitlines()
        real = sum(
            1 for line in lines if line.startswith("parsl_") and not line.startswith("parsl_exporter_")
        )
        assert real / 2 < expected <= real * 1.1

    def test_every_fault_is_named_and_the_status_is_1(self, folder: Path) -> None:
        (folder / "text.db").write_text("not a database " * 100)
        (folder / "empty").mkdir()
        (folder / "link.db").symlink_to("gone")
        sources = [
            "runinfo",
            "none.db",
            "text.db",
            "empty",
            "scartch/runs/runinfo",
            "link.db",
            "scratch/*/a.db",
        ]
        done = run("check", *sources, cwd=folder)
        assert done.returncode == 1
        assert f"{folder}/runinfo/monitoring.db: ok\n" in done.stdout
        faulty = [line.partition(": FAULT ")[0] for line in done.stdout.splitlines() if ": FAULT " in line]
        assert faulty == [
            f"{folder}/none.db",
            f"{folder}/text.db",
            f"{folder}/scartch/runs/runinfo/monitoring.db",
            f"{folder}/link.db",
            "scratch/*/a.db",
        ]
        assert (
            f"none.db: FAULT no such file, but {folder}/runinfo/monitoring.db is there; give that\n"
            in done.stdout
        )
        assert f"there is no folder {folder}/scartch; correct the path\n" in done.stdout
        assert f"there is no folder {folder}/scratch to look in; correct the path\n" in done.stdout
        assert done.stdout.endswith("\n5 faults\n")

    @pytest.mark.parametrize("made", [False, True], ids=["no folder yet", "its folder is there"])
    def test_what_a_run_is_still_to_make_is_no_fault(self, made: bool, tmp_path: Path) -> None:
        path = tmp_path / "runinfo" / "monitoring.db"
        if made:
            path.parent.mkdir()
        done = run("check", "runinfo", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"{path}: WAITING no such file; Parsl makes it when a run with monitoring starts"
            ' (see "No runs appear?" in docs/causes.md)\n'
            "0 faults\n"
        )

    def test_tables_that_a_run_is_making_are_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "monitoring.db").touch()
        done = run("check", "monitoring.db", cwd=tmp_path)
        assert done.returncode == 0
        assert "monitoring.db: WAITING " in done.stdout

    def test_a_folder_of_runs_without_monitoring_is_told_what_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "runinfo" / "000").mkdir(parents=True)
        done = run("check", "runinfo", cwd=tmp_path)
        assert done.returncode == 0
        assert "though runs have been in its folder; do they have monitoring (MonitoringHub" in done.stdout

    def test_it_says_why_a_finished_database_shows_nothing(self, folder: Path) -> None:
        done = run("check", "runinfo", cwd=folder)
        assert done.returncode == 0
        assert (
            "  runs     1, 0 of them to be published now\n"
            "           nothing to show: 1 run, which ended longer than `retention` (15m) ago; `dump` shows it\n"
        ) in done.stdout

    def test_a_file_by_two_paths_is_told_to_be_read_once(self, folder: Path) -> None:
        (folder / "link").symlink_to("runinfo")
        done = run("check", "link", "runinfo", cwd=folder)
        assert done.returncode == 0
        assert f"{folder}/link/monitoring.db: ok\n" in done.stdout
        again = (
            f"{folder}/runinfo/monitoring.db: the same file as {folder}/link/monitoring.db; it is read once"
        )
        assert again in done.stdout

    def test_a_faulty_configuration_is_named_by_its_lines(self, folder: Path) -> None:
        (folder / "faulty.yml").write_text("sources:\n  - {path: runinfo, timezone: Mars/Olympus}\n")
        done = run("check", "--config.file", "faulty.yml", cwd=folder)
        assert done.returncode == 1
        assert "faulty.yml:2" in done.stderr
        assert "Mars/Olympus" in done.stderr


class TestDump:
    def test_a_page_goes_to_standard_output(self, folder: Path) -> None:
        done = run("dump", "runinfo", cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        names = {family.name for family in text_families(done.stdout)}
        assert {"parsl_tasks", "parsl_task_duration_seconds", "parsl_exporter_source_up"} <= names
        assert not names & {"parsl_exporter_build_info", "python_info", "process_cpu_seconds"}

    def test_a_page_can_be_openmetrics(self, folder: Path) -> None:
        done = run("dump", "runinfo", "--format", "openmetrics", cwd=folder)
        assert done.stdout.endswith("# EOF\n")
        families = openmetrics_families(done.stdout)  # type: ignore[no-untyped-call]  # as it ships
        assert any(family.name == "parsl_tasks" for family in families)

    def test_a_page_can_be_of_chosen_runs(self, folder: Path) -> None:
        database = unpacked(folder / "multi.db", "multi-2026.10.26")
        with closing(sqlite3.connect(database)) as connection:
            run_ids = sorted(row[0] for row in connection.execute("SELECT run_id FROM workflow"))
        done = run("dump", "multi.db", "--run", run_ids[0], "--run", run_ids[2], cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert [one for one in run_ids if one in done.stdout] == [run_ids[0], run_ids[2]]

    @pytest.mark.parametrize(
        ("given", "fault", "status"),
        [("nix", "{folder}/runinfo/monitoring.db has no run nix; its runs are ", 1), ("", "is empty", 2)],
    )
    def test_a_run_that_is_not_there_is_an_error(
        self, given: str, fault: str, status: int, folder: Path
    ) -> None:
        done = run("dump", "runinfo", "--run", given, cwd=folder)
        assert (done.returncode, done.stdout) == (status, "")
        assert fault.format(folder=folder) in done.stderr

    def test_an_output_file_is_replaced_and_nothing_else_is_left(self, folder: Path) -> None:
        target = folder / "textfile" / "parsl.prom"
        target.parent.mkdir()
        target.write_text("old")
        before = target.stat().st_ino
        with target.open() as reader:
            done = run("dump", "runinfo", "--output", target, cwd=folder)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert reader.read() == "old"  # whoever reads the old file reads it whole
        assert target.stat().st_ino != before
        assert target.stat().st_mode & 0o777 == 0o644
        assert "parsl_tasks{" in target.read_text()
        assert [path.name for path in target.parent.iterdir()] == ["parsl.prom"]

    def test_an_output_file_stays_as_it_is_when_the_database_cannot_be_read(self, folder: Path) -> None:
        target = folder / "parsl.prom"
        target.write_text("old")
        (folder / "text.db").write_text("not a database " * 100)
        assert run("dump", "text.db", "--output", target, cwd=folder).returncode == 1
        assert target.read_text() == "old"
        assert not list(folder.glob(".parsl.prom*"))

    def test_an_output_that_is_a_link_stays_one_and_leads_to_the_new_page(self, folder: Path) -> None:
        (folder / "real").mkdir()
        link = folder / "parsl.prom"
        link.symlink_to("real/page.prom")
        for _ in ("the file is made", "the file is replaced"):
            done = run("dump", "runinfo", "--output", link, cwd=folder)
            assert (done.returncode, done.stderr) == (0, "")
            assert link.is_symlink()
            assert "parsl_tasks{" in (folder / "real" / "page.prom").read_text()
            assert [path.name for path in (folder / "real").iterdir()] == ["page.prom"]

    def test_an_output_that_is_no_regular_file_is_refused_and_stays(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("pipe")
        (folder / "round").symlink_to("round")
        for name, fault in [
            ("pipe", "is no regular file; give the name of a file to write"),
            ("link", "is no regular file; give the name of a file to write"),
            ("runinfo", "is no regular file; give the name of a file to write"),
            ("round", "cannot be written: Too many levels of symbolic links"),
        ]:
            done = run("dump", "runinfo", "--output", name, cwd=folder)
            assert (done.returncode, done.stderr) == (1, f"parsl-exporter: {name}: {fault}\n")
        assert (folder / "pipe").is_fifo()

    def test_one_database_by_two_paths_is_one(self, folder: Path) -> None:
        (folder / "latest").symlink_to("runinfo")
        done = run("dump", "*/monitoring.db", cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert f'source="{folder}/runinfo/monitoring.db"' in done.stdout

    def test_settings_of_a_configured_source_hold(self, folder: Path) -> None:
        (folder / "exporter.yml").write_text("sources: [{path: runinfo, name: mine, hide_labels: [user]}]\n")
        done = run("dump", "runinfo", "--config.file", "exporter.yml", cwd=folder)
        info = next(line for line in done.stdout.splitlines() if line.startswith("parsl_workflow_info{"))
        assert 'source="mine"' in info
        assert 'user="hidden"' in info
