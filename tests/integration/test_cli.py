"""The command line: what each command prints, writes and returns, and which signals do what."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from exporter_process import COMMAND, ended, environment, run, serving, until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from watched import unpacked

from parsl_exporter.base.release import VERSION

pytestmark = [pytest.mark.integration, pytest.mark.apart]

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a runinfo folder."""
    (tmp_path / "runinfo").mkdir()
    unpacked(tmp_path / "runinfo" / "monitoring.db")
    return tmp_path


class TestExitStatus:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["serve"],
            ["dump"],
            ["--web.listen-address", ":0"],
            ["--web.listen-address=:0", "check", "runinfo"],
            ["demo", "--with-prometheus"],
        ],
    )
    def test_the_version_is_told_whatever_else_is_given(self, arguments: list[str], tmp_path: Path) -> None:
        done = run(*arguments, "--version", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"parsl-exporter {VERSION}\n")

    @pytest.mark.parametrize("command", [[], ["serve"], ["check"], ["dump"], ["demo"]])
    def test_each_command_has_help(self, command: list[str], tmp_path: Path) -> None:
        done = run(*command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: parsl-exporter")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["serve", "--no-such-flag"],
            ["dump"],
            ["dump", "a.db", "b.db"],
            ["dump", "a.db", "--format", "xml"],
            ["dump", "a.db", "--output", ""],
            ["serve", "--config.file", ""],
            ["serve", "--log.level", "loud"],
            ["demo", "a.db"],
        ],
    )
    def test_wrong_usage_is_2_and_says_how_it_goes(self, arguments: list[str], tmp_path: Path) -> None:
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "usage: parsl-exporter" in done.stderr
        assert not done.stdout

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["cehck", "runinfo"], "there is no cehck; for the command write check first"),
            (["runinfo", "dump"], "there is no dump; for the command write dump first"),
            (["check", "serve"], "for a folder that is to come ./serve"),
            (["dump", "Demo"], "there is no Demo; for the command write demo first"),
            (["backfill", "runinfo"], "the command backfill is not in this version"),
        ],
    )
    def test_a_database_that_is_likelier_to_be_a_command_is_wrong_usage(
        self, arguments: list[str], says: str, folder: Path
    ) -> None:
        done = run(*arguments, cwd=folder)
        assert done.returncode == 2
        assert says in done.stderr

    def test_a_database_may_be_called_as_a_command_is(self, folder: Path) -> None:
        (folder / "runinfo").rename(folder / "check")
        assert run("check", "check", "./dump", cwd=folder).stdout.startswith(
            f"{folder}/check/monitoring.db: ok"
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--config.file", "exporter.yml", "check", "runinfo"],
            ["--config.file=exporter.yml", "check", "runinfo"],
            ["check", "--config.file", "exporter.yml", "runinfo"],
            ["check", "runinfo", "--config.file", "exporter.yml"],
        ],
    )
    def test_flags_stand_before_the_command_or_after_it(self, arguments: list[str], folder: Path) -> None:
        (folder / "exporter.yml").write_text("timezone: UTC\n")
        done = run(*arguments, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{folder}/runinfo/monitoring.db: ok")

    def test_a_tilde_that_no_shell_expanded_is_the_home_folder(self, folder: Path) -> None:
        (folder / "exporter.yml").write_text("sources: [~/runinfo]\n")
        done = run("check", "--config.file=~/exporter.yml", cwd=folder, HOME=str(folder))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{folder}/runinfo/monitoring.db: ok")

    @pytest.mark.parametrize("command", [[], ["check"], ["dump"], ["demo"]])
    def test_every_flag_has_a_word_of_help(self, command: list[str], tmp_path: Path) -> None:
        shown = run(*(command or ["serve"]), "--help", cwd=tmp_path).stdout
        flags = shown.partition("options:")[2].replace("\n                        ", "    ").splitlines()
        assert [line for line in flags if line and len(re.split(r"\s{2,}", line.strip())) < 2] == []

    def test_wrong_usage_shows_no_password(self, tmp_path: Path) -> None:
        done = run("dump", "runinfo", "postgresql://reader:s3cr3t@h/db", cwd=tmp_path)
        assert done.returncode == 2
        assert "s3cr3t" not in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (["serve", "--config.file", "none.yml"], "none.yml"),
            (["dump", "none.db"], "none.db"),
            (["dump", "runinfo", "--output", "none/page.prom"], "none/page.prom"),
        ],
    )
    def test_a_fault_is_1_and_one_line_names_it(self, arguments: list[str], fault: str, folder: Path) -> None:
        done = run(*arguments, cwd=folder)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("parsl-exporter: ")
        assert fault in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (["serve", "--poll.interval", "soon"], "--poll.interval: 'soon'"),
            (["serve", "--poll.interval", "0"], "--poll.interval: '0'"),
            (["serve", "--web.listen-address", "::1:9678"], "--web.listen-address: '::1:9678'"),
            (["serve", "--web.telemetry-path", "/"], "--web.telemetry-path: /"),
            (["serve", "--shard", "4/3"], "--shard: expected I/N"),
            (["check", "--web.config.file", ""], "--web.config.file: is empty"),
            (["check", "oracle://h/db"], "DATABASE 1: 'oracle'"),
            (["dump", "postgresql://a:b@c@h/db"], "DATABASE 1: this URL has an @"),
            (["demo", "--duration", "a while"], "--duration: 'a while'"),
            (["demo", "--web.listen-address", "localhost"], "--web.listen-address: 'localhost'"),
        ],
    )
    def test_a_value_that_no_flag_or_argument_may_have_is_2_and_one_line_names_it(
        self, arguments: list[str], fault: str, folder: Path
    ) -> None:
        done = run(*arguments, cwd=folder)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"parsl-exporter: {fault}")

    def test_a_faulty_configuration_is_1_beside_wrong_usage_too(self, folder: Path) -> None:
        (folder / "faulty.yml").write_text("retention: long\n")
        done = run("serve", "--config.file", "faulty.yml", "--poll.interval", "0", cwd=folder)
        assert done.returncode == 1
        assert ["faulty.yml:1" in done.stderr, "--poll.interval" in done.stderr] == [True, True]

    def test_a_port_in_use_is_a_fault(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run("runinfo", "--web.listen-address", f"127.0.0.1:{port}", cwd=folder)
        assert done.returncode == 1
        assert f"parsl-exporter: cannot listen on 127.0.0.1:{port}: another program" in done.stderr

    def test_all_faults_of_a_configuration_are_named_with_their_lines(self, folder: Path) -> None:
        (folder / "faulty.yml").write_text("retention: long\npoll_intervall: 1s\nlimits: {series: -1}\n")
        done = run("serve", "--config.file", "faulty.yml", cwd=folder)
        assert done.returncode == 1
        assert [f"faulty.yml:{n}" in line for n, line in enumerate(done.stderr.splitlines(), 1)] == [True] * 3


class TestStandardOutput:
    @pytest.mark.parametrize(
        ("where", "fault"),
        [
            ("> /dev/full", "standard output: cannot be written: No space left on device"),
            (">&-", "standard output: is closed; send it to a file or to another program"),
        ],
    )
    @pytest.mark.parametrize("command", ["check runinfo", "dump runinfo"])
    def test_one_that_takes_nothing_is_a_fault_and_one_line_names_it(
        self, command: str, where: str, fault: str, folder: Path
    ) -> None:
        done = _to(where, command, folder)
        assert (done.returncode, done.stderr) == (1, f"parsl-exporter: {fault}\n")

    @pytest.mark.parametrize("command", ["check runinfo", "dump runinfo"])
    def test_a_reader_that_goes_early_as_head_does_is_told_nothing(self, command: str, folder: Path) -> None:
        done = _to("| true", command, folder)
        assert (done.returncode, done.stderr) == (1, "")

    @pytest.mark.parametrize("where", ["> /dev/full", ">&-", "| true"])
    @pytest.mark.parametrize("command", ["--version", "dump --help"])
    def test_help_that_goes_nowhere_fails_without_a_word_about_python(
        self, command: str, where: str, folder: Path
    ) -> None:
        done = _to(where, command, folder)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


class TestServe:
    def test_without_a_command_or_an_argument_it_serves_the_runinfo_folder(self, folder: Path) -> None:
        with serving(folder) as exporter:
            name = folder / "runinfo" / "monitoring.db"
            until("its page", lambda: exporter.value(f'parsl_exporter_source_up{{source="{name}"}}') == 1)
            until("ready", lambda: exporter.get("/-/ready")[0] == 200)

    def test_a_finished_database_says_on_the_landing_page_and_in_the_log_why_nothing_is_shown(
        self, folder: Path
    ) -> None:
        why = "1 run, which ended longer than `retention` (15m) ago; `dump` shows it"
        with serving(folder) as exporter:
            until("ready", lambda: exporter.get("/-/ready")[0] == 200)
            until("told", lambda: f"up to date, nothing to show: {why}" in exporter.get("/")[1])
            assert [one["note"] for one in exporter.events("caught up")] == [why]

    def test_flags_win_over_the_configuration(self, folder: Path) -> None:
        other = unpacked(folder / "other.db")
        (folder / "exporter.yml").write_text(
            "sources: [{path: none.db, name: configured}]\nweb: {telemetry_path: /configured}\n"
        )
        flags = ["--config.file", "exporter.yml", "--web.telemetry-path", "/metrics", "other.db"]
        with serving(folder, *flags) as exporter:
            until("its page", lambda: exporter.value(f'parsl_exporter_source_up{{source="{other}"}}') == 1)
            assert exporter.get("/configured")[0] == 404
            assert "configured" not in exporter.get("/metrics")[1]

    def test_it_listens_on_every_address_that_is_given(self, folder: Path) -> None:
        with serving(folder, "--web.listen-address", "localhost:0") as exporter:
            until("both", lambda: len(exporter.events("listening")) == 2)
            for event in exporter.events("listening"):
                assert exporter._replace(url=event["url"]).get("/-/healthy") == (200, "healthy\n")

    def test_the_log_level_leaves_out_what_is_below(self, folder: Path) -> None:
        done = run("serve", "--log.level", "error", "--web.listen-address", "nowhere:1", cwd=folder)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1


class TestSignals:
    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
    def test_term_and_int_end_it_within_two_seconds(self, sent: signal.Signals, folder: Path) -> None:
        with serving(folder) as exporter:
            until("ready", lambda: exporter.get("/-/ready")[0] == 200)
            status, seconds = ended(exporter.process, sent)
            assert status == 0
            assert seconds < 2
            assert [one["signal"] for one in exporter.events("ending")] == [sent.name]

    def test_term_ends_it_within_two_seconds_in_the_middle_of_a_first_read(self, folder: Path) -> None:
        _multiply(folder / "runinfo" / "monitoring.db", 2_000)
        with serving(folder) as exporter:
            page = until("reading", lambda: _reading(exporter.get("/")[1]))
            status, seconds = ended(exporter.process, signal.SIGTERM)
            assert status == 0, page
            assert seconds < 2
            assert not exporter.events("caught up")

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
    def test_they_end_it_well_while_it_is_starting(self, sent: signal.Signals, folder: Path) -> None:
        with serving(folder, at_once=sent) as exporter:
            assert exporter.process.wait(timeout=30) == 0
            assert [one["signal"] for one in exporter.events("ending")] == [sent.name]

    def test_hup_while_it_is_starting_is_heeded_once_it_serves(self, folder: Path) -> None:
        with serving(folder, at_once=signal.SIGHUP) as exporter:
            until("read again", lambda: exporter.events("configuration read again"))
            until("ready", lambda: exporter.get("/-/ready")[0] == 200)

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    @pytest.mark.parametrize("command", [["check"], ["dump", "--output", "page.prom"]])
    def test_a_command_that_has_an_end_is_ended_by_them_at_once_and_has_failed(
        self, command: list[str], sent: signal.Signals, folder: Path
    ) -> None:
        database = folder / "runinfo" / "monitoring.db"
        (folder / "page.prom").write_text("old")
        with closing(sqlite3.connect(database)) as writer, (folder / "errors").open("w+b") as errors:
            writer.execute("BEGIN EXCLUSIVE")  # so that the command waits
            arguments = [*COMMAND, *command, "runinfo"]
            process = subprocess.Popen(arguments, cwd=folder, env=environment(), stderr=errors)
            try:
                until("reading", lambda: _has_open(process.pid, database))
                status, seconds = ended(process, sent)
            finally:
                process.kill()
                process.wait()
        assert status == -sent
        assert seconds < 2
        assert (folder / "errors").read_text() == ""
        assert (folder / "page.prom").read_text() == "old"
        assert not list(folder.glob(".page.prom*"))

    def test_hup_takes_a_good_configuration(self, folder: Path) -> None:
        configuration = folder / "exporter.yml"
        configuration.write_text("sources: [{path: runinfo, name: first}]\n")
        reloaded = "parsl_exporter_config_last_reload_success_timestamp_seconds"
        with serving(folder, "--config.file", configuration) as exporter:
            until("ready", lambda: exporter.value('parsl_exporter_source_ready{source="first"}'))
            before = exporter.value(reloaded)
            assert before is not None
            configuration.write_text("sources: [{path: runinfo, name: second}]\n")
            exporter.process.send_signal(signal.SIGHUP)
            until("the new source", lambda: exporter.value('parsl_exporter_source_ready{source="second"}'))
            assert exporter.value('parsl_exporter_source_ready{source="first"}') is None
            assert exporter.value("parsl_exporter_config_last_reload_successful") == 1
            assert (exporter.value(reloaded) or 0) > before

    def test_hup_keeps_the_old_configuration_when_the_new_one_is_faulty(self, folder: Path) -> None:
        configuration = folder / "exporter.yml"
        configuration.write_text("sources: [{path: runinfo, name: first}]\n")
        reloaded = "parsl_exporter_config_last_reload_success_timestamp_seconds"
        with serving(folder, "--config.file", configuration) as exporter:
            until("ready", lambda: exporter.value('parsl_exporter_source_ready{source="first"}'))
            before = exporter.value(reloaded)
            configuration.write_text("retention: long\nsourcs: []\n")
            exporter.process.send_signal(signal.SIGHUP)
            until("noticed", lambda: exporter.value("parsl_exporter_config_last_reload_successful") == 0)
            assert exporter.value('parsl_exporter_source_up{source="first"}') == 1
            assert exporter.value(reloaded) == before
            faults = [one["fault"] for one in exporter.events("configuration not taken; the old one stays")]
            assert ["exporter.yml:1" in faults[0], "exporter.yml:2" in faults[1]] == [True, True]

            configuration.write_text("sources: [{path: runinfo, name: first}]\n")
            exporter.process.send_signal(signal.SIGHUP)
            until("taken again", lambda: exporter.value("parsl_exporter_config_last_reload_successful") == 1)


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
            f"none.db: no such file, but {folder}/runinfo/monitoring.db is there; give that\n" in done.stdout
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
            f"{path}: WAITING {path}: no such file; Parsl makes it when a run with monitoring starts"
            ' (see "No runs appear?" in docs/operations.md)\n'
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


def _reading(landing: str) -> str | None:
    return landing if "first read:" in landing else None


def _to(where: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the exporter whose output goes to where the shell sends it; a pipe has no reader any more."""
    wait = "sleep 0.5; " if where.startswith("|") else ""
    script = f"set -o pipefail; {{ {wait}{' '.join(COMMAND)} {command}; }} {where}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _has_open(process: int, path: Path) -> bool:
    return any(one.resolve() == path for one in Path(f"/proc/{process}/fd").iterdir())


def _multiply(database: Path, times: int) -> None:
    """Give the database so many copies of each of its tasks, under other numbers, and leave its runs without an end."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE workflow SET time_completed = NULL, time_began = datetime('now', 'localtime')"
        )
        for table in ("task", "try", "status"):
            columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info('{table}')")]
            chosen = ", ".join("task_id + 1000 * n" if c == "task_id" else f'"{c}"' for c in columns)
            connection.execute(
                "WITH RECURSIVE copy(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM copy WHERE n < ?)"
                f' INSERT INTO "{table}" SELECT {chosen} FROM copy CROSS JOIN "{table}"',
                (times,),
            )
