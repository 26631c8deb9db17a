"""`demo`: a real workflow and an exporter on it, which leave nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psutil
import pytest
from support.exporter_process import COMMAND, ended, environment, run, until
from support.processes import parsl_required, required
from support.terminal import on_terminal

from parsl_exporter.demo.ask import ask

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _parsl() -> None:
    parsl_required()


class Demo(NamedTuple):
    """A demo that runs; all that it writes is in `folder`, what it shows in `output`."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    def shows(self, pattern: str) -> re.Match[str] | None:
        assert self.process.poll() is None, self.output.read_text()
        return re.search(pattern, self.output.read_text(), re.MULTILINE)

    def family(self) -> dict[str, psutil.Process]:
        """All that it started and all that these started, by command line."""
        found = {}
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ends just now
                found[" ".join(one.cmdline())] = one
        return found

    def living(self) -> list[psutil.Process]:
        """Whatever works in its folder, as all does that is started for it, detached or not."""
        found = psutil.process_iter(["cwd", "cmdline"])
        return [one for one in found if (one.info["cwd"] or "").startswith(str(self.folder))]

    def assert_nothing_is_left(self) -> None:
        assert [path.name for path in self.folder.iterdir()] == ["output"]
        assert not [one.info for one in self.living()]


@pytest.fixture
def base() -> Iterator[Path]:
    """A temporary folder with a short path, as the workers' sockets need."""
    with TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def demo(base: Path, *arguments: str) -> Iterator[Demo]:
    folder = base / "demo"
    folder.mkdir()
    output = folder / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "demo", *arguments],
            cwd=base,
            env=environment(TMPDIR=str(folder)),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    shown = Demo(process, folder, output)
    try:
        yield shown
    finally:
        if process.poll() is None:
            ended(process, signal.SIGTERM)
        for left in shown.living():
            with suppress(psutil.NoSuchProcess):
                left.kill()


ANYWHERE = ("--web.listen-address", "127.0.0.1:0")


class TestARun:
    def test_it_shows_tasks_and_workers_until_it_is_interrupted_and_cleans_up(self, base: Path) -> None:
        with demo(base, *ANYWHERE) as shown:
            url = until("an address", lambda: shown.shows(r"metrics +(http://127\.0\.0\.1:\d+/metrics)$"))
            until("results", lambda: shown.shows(r"^ *\d+ s  .*; tasks: .*\d\d exec_done"), 60)
            until("blocks", lambda: shown.shows(r"; blocks: .*\d+ RUNNING"), 60)
            until("workers", lambda: "process_worker_pool" in " ".join(shown.family()), 60)
            assert b'parsl_workflow_info{source="demo"' in ask(url[1])
            status, seconds = ended(shown.process, signal.SIGINT)
            assert status == 0
            assert seconds < 5
            shown.assert_nothing_is_left()

    def test_it_ends_by_itself_after_its_duration(self, base: Path) -> None:
        begin = time.monotonic()
        with demo(base, *ANYWHERE, "--duration", "20s") as shown:
            assert shown.process.wait(60) == 0
            assert time.monotonic() - begin > 20
            assert re.search(r"^ +last  .*; tasks: \d+ ", shown.output.read_text(), re.MULTILINE)
            assert re.search(r"^Ended after 2\d s", shown.output.read_text(), re.MULTILINE)
            shown.assert_nothing_is_left()

    def test_a_terminal_is_redrawn_in_place(self, base: Path) -> None:
        known = environment(TMPDIR=str(base), TERM="xterm")
        with on_terminal(*COMMAND, "demo", *ANYWHERE, cwd=base, environment=known) as shown:
            shown.shows("no run yet: Parsl is starting")
            shown.shows("exec_done", 60)
            shown.process.send_signal(signal.SIGINT)
            assert shown.ends() == 0
        assert re.search(r"\x1b\[1A.*parsl-exporter demo: \d+ s, Ctrl-C ends it", shown.text, re.DOTALL)
        assert re.search(r"Ended after \d+ s; all that was started is gone again", shown.text)

    def test_prometheus_and_alertmanager_are_there_with_the_rules(self, base: Path) -> None:
        required("prometheus")
        required("prometheus-alertmanager", "alertmanager")
        with demo(base, *ANYWHERE, "--with-prometheus") as shown:
            url = until("its address", lambda: shown.shows(r"Prometheus +(http:\S+)$"))[1]

            def answer(path: str) -> dict[str, object]:
                data: dict[str, object] = json.loads(ask(f"{url}/api/v1/{path}"))["data"]
                return data

            until("a scrape", lambda: answer('query?query=parsl_tasks{source="demo"}')["result"], 60)
            until(
                "an answer of the rules",
                lambda: '"health":"ok"' in json.dumps(answer("rules"), separators=(",", ":")),
            )
            until("the alerts", lambda: "ParslAppFailureRatioHigh" in json.dumps(answer("rules")))
            assert '"err"' not in json.dumps(answer("rules"))
            assert until("Alertmanager", lambda: answer("alertmanagers")["activeAlertmanagers"])
            ended(shown.process, signal.SIGTERM)
            shown.assert_nothing_is_left()

    def test_no_alert_on_what_is_missing_is_pending_before_there_can_be_anything(self, base: Path) -> None:
        required("prometheus")
        with demo(base, *ANYWHERE, "--with-prometheus") as shown:
            exporter = until(
                "the exporter",
                lambda: next((p for name, p in shown.family().items() if "exporter.yml" in name), None),
            )
            exporter.suspend()  # a slow machine: Prometheus is there first
            url = until("its address", lambda: shown.shows(r"Prometheus +(http:\S+)$"))[1]

            def answer(path: str, **asked: str) -> dict[str, list[Any]]:
                data: dict[str, list[Any]] = json.loads(ask(f"{url}/api/v1/{path}?{urlencode(asked)}"))[
                    "data"
                ]
                return data

            def all_evaluated() -> bool:
                groups = answer("rules", type="alert")["groups"]
                rules = [rule for group in groups for rule in group["rules"]]
                return bool(rules) and not any(rule["lastEvaluation"].startswith("0001") for rule in rules)

            until("a scrape", lambda: answer("query", query="up == 0")["result"])
            thrice = "count_over_time(parsl:threshold[5m]) >= 3"
            until("all rules once more", lambda: answer("query", query=thrice)["result"])
            exporter.resume()
            until("alerts", all_evaluated, 60)
            assert answer("query", query="count_over_time(ALERTS[5m])")["result"] == []

    def test_it_says_where_alerts_can_be_seen(self, base: Path) -> None:
        required("prometheus")
        with demo(base, *ANYWHERE, "--with-prometheus") as shown:
            url = until("a page", lambda: shown.shows(r"^  alerts +(http:\S+)$"))[1]
            page = ask(url).decode()
            assert '"alerts":' in page or "ParslExporterDown" in until("rules", lambda: _named(ask(url)))


def _named(page: bytes) -> str | None:
    return page.decode() if b"ParslExporterDown" in page else None


class TestWhatGoesWrong:
    def test_a_program_that_ends_by_itself_is_named_and_all_is_cleaned_up(self, base: Path) -> None:
        with demo(base, *ANYWHERE) as shown:
            name, workflow = until(
                "the workflow",
                lambda: next((p for p in shown.family().items() if "demo.workflow" in p[0]), None),
            )
            until("its database", lambda: list(shown.folder.glob("*/runinfo/monitoring.db")))
            workflow.kill()
            assert shown.process.wait(30) == 1, name
            assert "parsl-exporter: workflow ended with status -9: " in shown.output.read_text()
            shown.assert_nothing_is_left()

    def test_killed_it_leaves_no_process_for_long(self, base: Path) -> None:
        with demo(base, *ANYWHERE) as shown:
            until("workers", lambda: "process_worker_pool" in " ".join(shown.family()), 60)
            shown.process.kill()
            until("their end", lambda: not shown.living(), 90)

    def test_the_usual_port_may_be_taken(self, base: Path) -> None:
        with ExitStack() as stack:
            with suppress(OSError):  # taken by somebody else already
                stack.enter_context(socket.create_server(("127.0.0.1", 9678)))
            shown = stack.enter_context(demo(base, "--duration", "1s"))
            assert shown.process.wait(30) == 0
        text = shown.output.read_text()
        assert "9678: another program listens there, so this is any free port" in text
        assert "http://127.0.0.1:9678" not in text

    def test_a_given_port_that_is_taken_is_a_fault(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = run("demo", "--web.listen-address", address, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith(f"parsl-exporter: cannot listen on {address}: another program")

    def test_a_temporary_folder_too_long_for_the_workers_sockets_is_a_fault(self, base: Path) -> None:
        (long := base / ("x" * (60 - len(str(base))))).mkdir()
        with demo(long, *ANYWHERE) as shown:
            assert shown.process.wait(30) == 1
            assert (
                "too long a path for the sockets of the demo's workers: set TMPDIR"
                in shown.output.read_text()
            )
            shown.assert_nothing_is_left()

    def test_without_parsl_it_says_how_to_get_it(self, tmp_path: Path) -> None:
        without = "import sys; sys.modules['parsl'] = None; from parsl_exporter.cli.main import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", without, "demo"],
            env=environment(TMPDIR=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        install = f"{sys.executable} -m pip install 'parsl[monitoring]'"
        assert done.stderr == f"parsl-exporter: the demo needs Parsl: {install}\n"
        assert not list(tmp_path.iterdir())


HOLDER = """
import multiprocessing, time
lock = multiprocessing.get_context("spawn").Lock()
print(lock._semlock.name, flush=True)
time.sleep(60)
"""
KEEPER = """
import pathlib, sys, time
from parsl_exporter.demo.programs import Programs
with Programs(pathlib.Path.cwd()) as programs:
    programs.start("holder", sys.executable, "-c", sys.argv[1])
    log = pathlib.Path("holder.log")
    while not log.read_text().endswith(chr(10)):
        time.sleep(0.01)
    name = pathlib.Path(f"/dev/shm/sem.{log.read_text().strip().lstrip('/')}")
    print(name.exists())
print(name.exists())
"""


def test_what_killed_programs_had_in_shared_memory_goes_with_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEPER, HOLDER]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, check=True, text=True
    )
    assert done.stdout.split() == ["True", "False"]
