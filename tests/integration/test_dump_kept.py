"""`dump --interval`: a file for node_exporter's textfile collector that follows a database until a signal."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from support.exporter_process import COMMAND, environment, run, until
from support.far_end import NEXT, SETTINGS, STORY, running, wrong
from support.loopback import text_of
from support.processes import started
from support.rows import insert, status, workflow
from support.rows import write as write_database

pytestmark = [pytest.mark.integration, pytest.mark.apart]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "textfile").mkdir()
    (tmp_path / "exporter.yml").write_text(SETTINGS)
    return write_database(tmp_path / "monitoring.db", STORY)


@contextmanager
def kept(
    database: Path, interval: str = "1s", *, by: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A `dump` that goes on."""
    arguments = ("dump", database, "--output", "textfile/parsl.prom", "--interval", interval)
    command: tuple[str | Path, ...] = (*by, *COMMAND, *arguments, "--config.file", "exporter.yml")
    log = database.parent / "log"
    with started(*command, cwd=database.parent, log=log, environment=environment()) as process:
        yield process


def page(database: Path) -> str:
    return (database.parent / "textfile" / "parsl.prom").read_text()


def opened(pid: int) -> set[Path]:
    """The files that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(link.readlink())
    return found


def true(database: Path) -> bool:
    """Once there is a file: whether it says what SQL says."""
    return not wrong(page(database), database)


def test_node_exporter_shows_what_sql_says_as_the_database_grows(database: Path) -> None:
    flags = (
        "--collector.disable-defaults",
        "--collector.textfile",
        "--collector.textfile.directory=textfile",
    )
    with running("prometheus-node-exporter", database.parent, *flags) as url, kept(database):

        def shown() -> str:
            return text_of(f"{url}/metrics")

        until("the truth", lambda: not wrong(shown(), database))
        assert "\nnode_textfile_scrape_error 0\n" in shown()
        insert(database, NEXT)
        assert wrong(shown(), database)
        until("the new rows", lambda: not wrong(shown(), database))
        assert re.search(r'node_textfile_mtime_seconds\{file="\S+/parsl.prom"\} 1\.', shown())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_well_with_the_last_rows_in_the_file(ending: signal.Signals, database: Path) -> None:
    def done() -> str:
        found = re.search(r'(?m)^parsl_tasks\{.*state="exec_done"\} (.*)$', page(database))
        return found[1] if found else ""

    with kept(database, "1h") as process:
        until("the first rows", lambda: done() == "1")
        insert(database, [status(2, "exec_done", 9)])
        process.send_signal(ending)
        assert process.wait(10) == 0
    assert done() == "2"
    assert [path.name for path in (database.parent / "textfile").iterdir()] == ["parsl.prom"]


def test_a_database_that_is_away_is_said_in_the_file_which_goes_on(database: Path) -> None:
    with kept(database):
        until("the truth", lambda: true(database))
        runs = [line for line in page(database).splitlines() if line.startswith("parsl_tasks{")]
        away = database.rename(database.with_suffix(".away"))
        down = f'\nparsl_exporter_source_up{{source="{database}"}} 0\n'
        until("the fault", lambda: down in page(database))
        assert [line for line in page(database).splitlines() if line.startswith("parsl_tasks{")] == runs
        written = (database.parent / "textfile" / "parsl.prom").stat().st_mtime_ns
        file = database.parent / "textfile" / "parsl.prom"
        until("a newer file", lambda: file.stat().st_mtime_ns > written)
        away.rename(database)
        until("the truth", lambda: true(database) and down not in page(database))
    assert (database.parent / "log").read_text().count("no such file") == 2  # once, and when it works again


def test_another_database_in_its_place_is_read_anew(database: Path) -> None:
    with kept(database):
        until("the truth", lambda: true(database))
        other = write_database(database.with_name("other.db"), [*STORY, *NEXT, workflow("run-2", began=5)])
        other.replace(database)
        until("the other's truth", lambda: true(database) and "run-2" in page(database))


def test_a_lock_leaves_the_file_as_it_was_and_is_no_fault_for_ten_seconds(database: Path) -> None:
    with kept(database):
        until("the truth", lambda: true(database))
        with closing(sqlite3.connect(database, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            file = database.parent / "textfile" / "parsl.prom"
            written = file.stat().st_mtime_ns
            until("a newer file", lambda: file.stat().st_mtime_ns > written)
            assert f'parsl_exporter_source_up{{source="{database}"}} 1' in page(database)
            writer.execute("ROLLBACK")
        assert true(database)


def test_a_folder_that_cannot_be_written_is_told_once_and_written_when_it_can(database: Path) -> None:
    folder = database.parent / "textfile"
    with kept(database):
        until("the truth", lambda: true(database))
        moved = folder.rename(database.parent / "moved")
        log = database.parent / "log"
        until("the fault", lambda: "cannot be written" in log.read_text())
        moved.rename(folder)
        until("that it works again", lambda: "works again" in log.read_text())
        assert log.read_text().count('msg="') == 3  # caught up, the fault, works again


def test_a_file_of_before_stays_until_the_database_is_read(database: Path) -> None:
    file = database.parent / "textfile" / "parsl.prom"
    file.write_text("of before\n")
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with kept(database) as process:
            log = database.parent / "log"
            until("a look at the database", lambda: database in opened(process.pid))
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert (file.read_text(), "caught up" in log.read_text()) == ("of before\n", False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interval", "30s"], "give --output FILE"),
        (["--interval", "10ms", "--output", "f"], "too short"),
        (["--interval", "often", "--output", "f"], "is no duration"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], said: str, database: Path) -> None:
    done = run("dump", database, *arguments, cwd=database.parent)
    assert done.returncode == 2
    assert said in done.stderr


def test_started_by_nohup_it_outlives_its_terminal(database: Path) -> None:
    with kept(database, by=("nohup",)) as process:
        until("the first page", lambda: true(database))
        process.send_signal(signal.SIGHUP)
        insert(database, NEXT)
        until("the new rows", lambda: true(database))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert "signal=SIGTERM" in (database.parent / "log").read_text()
