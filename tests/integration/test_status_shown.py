"""`status` as people run it: on a terminal, in a pipe, on a live run, and until Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.exporter_process import COMMAND, ended, environment, run, until
from support.oracle import parse
from support.processes import parsl_required, started
from support.rows import Told, attempt, block, lifecycle, stamp, task, workflow
from support.rows import write as write_database
from support.source_harness import CORPUS, execute, unpacked, with_runinfo
from support.terminal import OnTerminal, on_terminal

pytestmark = [pytest.mark.integration, pytest.mark.apart]

ESCAPE = "\x1b"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STORY: list[Told] = [
    workflow(workflow_name="montage.py"),
    *(row for i in range(3) for row in (task(i), attempt(i), *lifecycle(i, ("pending", 1), ("launched", 2)))),
    block("0", "PENDING", 1),
]
NEXT = (
    "INSERT INTO status (task_id, task_status_name, timestamp, run_id, try_id)"
    f" VALUES (0, 'exec_done', '{stamp(9)}', 'run-1', 0)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a run that waits; it began at `BEGAN` by every clock."""
    (tmp_path / "runinfo").mkdir()
    write_database(tmp_path / "runinfo" / "monitoring.db", STORY)
    return tmp_path


def on(folder: Path, *arguments: str, columns: int = 80, **changes: str) -> Any:
    """`status` on a terminal that has colours."""
    changes = {"TERM": "xterm-256color", "COLORTERM": "", **changes}
    unset = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"} - changes.keys()
    known = {name: value for name, value in environment(**changes).items() if name not in unset}
    return on_terminal(*COMMAND, "status", *arguments, cwd=folder, environment=known, columns=columns)


def texts(shown: OnTerminal) -> list[str]:
    """The lines that a terminal shows, without control sequences."""
    return CONTROL.sub("", shown.text).replace("\r", "").splitlines()


class TestOnce:
    @pytest.mark.parametrize("name", CORPUS)
    def test_on_a_terminal_and_in_a_pipe(self, name: str, tmp_path: Path) -> None:
        unpacked(tmp_path / "monitoring.db", name)
        piped = run("status", "monitoring.db", cwd=tmp_path)
        assert (piped.returncode, ESCAPE in piped.stdout) == (0, False)
        assert re.search(r"\b(finished|silent since|idle)\b", piped.stdout)
        with on(tmp_path, "monitoring.db") as shown:
            assert shown.ends() == 0
        assert max(map(cell_len, texts(shown))) <= 80
        assert "\x1b[3" in shown.text or "\x1b[2m" in shown.text
        document = run("status", "monitoring.db", "--format", "json", cwd=tmp_path)
        assert document.returncode == 0
        (source,) = json.loads(document.stdout)["sources"]
        for one in source["runs"]:
            assert one["run_id"][:8] in piped.stdout
            assert one["verdict"] in piped.stdout

    def test_without_arguments_it_reads_runinfo_and_a_configuration_file(self, folder: Path) -> None:
        assert "montage.py" in run("status", cwd=folder).stdout
        (folder / "exporter.yml").write_text(
            "sources: [{path: runinfo, name: campaign, hide_labels: [user]}]"
        )
        text = run("status", "--config.file=exporter.yml", cwd=folder).stdout
        assert text.startswith("campaign: up to date\n")
        assert "montage.py of hidden on submit" in text

    def test_nobody_need_have_colours(self, folder: Path) -> None:
        with on(folder, NO_COLOR="1") as shown:
            assert shown.ends() == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown.text)
        with on(folder, TERM="dumb") as shown:
            assert shown.ends() == 0
        assert ESCAPE not in shown.text
        assert "montage.py" in shown.text

    def test_a_missing_database_is_named_and_is_status_1(self, folder: Path) -> None:
        done = run("status", "runinfo", "nothing.db", cwd=folder)
        assert done.returncode == 1
        assert done.stderr.startswith(f"parsl-exporter: {folder}/nothing.db: no such file")
        assert "montage.py" in done.stdout

    def test_an_unknown_run_is_status_1_and_a_wrong_flag_2(self, folder: Path) -> None:
        done = run("status", "--run", "x", cwd=folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "parsl-exporter: there is no run whose id begins with x\n"
        assert run("status", "--run", "", cwd=folder).returncode == 2
        assert run("status", "--format", "xml", cwd=folder).returncode == 2

    def test_a_lock_is_waited_for(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "runinfo" / "monitoring.db", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            with started(
                *COMMAND, "status", cwd=folder, log=folder / "log", environment=environment()
            ) as process:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.communicate(timeout=3)
                writer.execute("COMMIT")
                assert "montage.py" in process.communicate(timeout=30)[0]
                assert process.returncode == 0

    def test_nothing_is_written_to_the_database_or_beside_it(self, folder: Path) -> None:
        database = folder / "runinfo" / "monitoring.db"
        before = (database.read_bytes(), database.stat().st_mtime_ns, sorted((folder / "runinfo").iterdir()))
        run("status", cwd=folder)
        after = (database.read_bytes(), database.stat().st_mtime_ns, sorted((folder / "runinfo").iterdir()))
        assert before == after

    def test_a_reader_may_go(self, tmp_path: Path) -> None:
        with_runinfo(tmp_path)
        script = f"{sys.executable} -m parsl_exporter status | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1)  # as the pipe may hold all of it
        assert done.stderr == ""


class TestWatch:
    def test_a_terminal_shows_what_is_new_in_place_until_ctrl_c(self, folder: Path) -> None:
        with on(folder, "--watch") as shown:
            shown.shows("PENDING")
            execute(folder / "runinfo" / "monitoring.db", NEXT)
            shown.shows("exec_done")
            begin = time.monotonic()
            shown.process.send_signal(signal.SIGINT)
            assert shown.ends() == 0
            assert time.monotonic() - begin < 2
        assert "\x1b[1A" in shown.text  # up, over what was shown
        assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l")  # the cursor is back
        assert max(map(cell_len, texts(shown))) <= 80
        assert "Traceback" not in shown.text

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
    def test_other_signals_end_it_as_well(self, folder: Path, sent: signal.Signals) -> None:
        with on(folder, "--watch") as shown:
            shown.shows("montage.py")
            shown.process.send_signal(sent)
            assert shown.ends() == 0

    def test_ctrl_c_is_as_quick_while_a_database_is_locked(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "runinfo" / "monitoring.db", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            with on(folder, "--watch", columns=200) as shown:
                shown.shows("not read yet")
                begin = time.monotonic()
                shown.process.send_signal(signal.SIGINT)
                assert shown.ends() == 0
                assert time.monotonic() - begin < 2

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_a_pipe_gets_a_line_when_there_are_news(self, folder: Path, form: str) -> None:
        out = folder / "out"
        with out.open("wb") as stdout:
            process = subprocess.Popen(
                [*COMMAND, "status", "--watch", "--format", form],
                cwd=folder,
                env=environment(),
                stdout=stdout,
                stderr=subprocess.STDOUT,
            )
        try:
            until("what there is", lambda: "montage.py" in out.read_text() or None)
            execute(folder / "runinfo" / "monitoring.db", NEXT)
            until("what is new", lambda: "exec_done" in out.read_text() or None)
            exit_status, seconds = ended(process, signal.SIGINT)
        finally:
            process.kill()
        assert exit_status == 0
        assert seconds < 2
        lines = out.read_text().splitlines()
        assert len(lines) <= 4
        assert not any(ESCAPE in line for line in lines)
        if form == "json":
            assert {len(json.loads(line)["sources"]) for line in lines} <= {0, 1}

    def test_a_database_may_still_come(self, tmp_path: Path) -> None:
        with on(tmp_path, "--watch") as shown:
            shown.shows("no such file")
            with_runinfo(tmp_path)
            shown.shows("managerlost")
            shown.process.send_signal(signal.SIGINT)
            assert shown.ends() == 0


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """The working folder of a real run, two workers of which work."""
    parsl_required()
    with started(
        sys.executable,
        "-m",
        "parsl_exporter.demo.workflow",
        cwd=tmp_path,
        log=tmp_path / "log",
        environment=environment(),
    ) as process:
        yield tmp_path
        assert process.poll() is None, (tmp_path / "log").read_text()


def document(folder: Path, *arguments: str) -> dict[str, Any]:
    """The only run there is; nothing while there is none."""
    sources = json.loads(run("status", "--format=json", *arguments, cwd=folder).stdout or "{}").get("sources")
    runs = sources[0]["runs"] if sources else []
    return runs[0] if runs else {}


def test_a_real_run_is_told_of_while_it_lives(live: Path) -> None:
    def working() -> dict[str, Any] | None:
        run = document(live)
        return run if any(one["busy"] for one in run.get("workers", ())) else None

    run_of = until("workers that work", working, 90)
    assert run_of["live"] is True
    assert run_of["workflow_name"] == "demo"
    assert re.match(r"running: [1-4] of [1-4] workers busy", run_of["verdict"])
    copy = live / "copy.db"
    with (
        closing(sqlite3.connect(live / "runinfo" / "monitoring.db")) as source,
        closing(sqlite3.connect(copy)) as to,
    ):
        source.backup(to)
    told = document(live, "copy.db")
    page = parse(run("dump", "copy.db", cwd=live).stdout)
    counts = {
        (one["app"], one["executor"], state): count
        for one in told["tasks"]
        for state, count in one["states"].items()
    }
    assert counts == {
        (labels["app"], labels["executor"], labels["state"]): value
        for labels, value in ((dict(key), value) for key, value in page["parsl_tasks"].items())
        if value
    }
