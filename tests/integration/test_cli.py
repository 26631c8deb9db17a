"""The command line: what each command prints, writes and returns, and which signals do what."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.exporter_process import COMMAND, ended, environment, run, serving, until
from support.source_harness import unpacked, with_runinfo

from parsl_exporter.base.release import VERSION

pytestmark = [pytest.mark.integration, pytest.mark.apart]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_runinfo(tmp_path)


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
            ["status", "--watch"],
            ["--watch", "status"],
        ],
    )
    def test_the_version_is_told_whatever_else_is_given(self, arguments: list[str], tmp_path: Path) -> None:
        done = run(*arguments, "--version", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"parsl-exporter {VERSION}\n")

    @pytest.mark.parametrize(
        "command", [[], ["serve"], ["check"], ["dump"], ["status"], ["assets"], ["completion"], ["demo"]]
    )
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

    @pytest.mark.parametrize(
        "command", ["check runinfo", "dump runinfo", "assets --output files", "completion bash"]
    )
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
    @pytest.mark.parametrize("command", [["check"], ["dump", "--output", "page.prom"], ["status"]])
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
