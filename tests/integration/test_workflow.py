"""An exporter inside a workflow: it serves beside a real run, ends with it however that dies, and never harms it."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.exporter_process import ROOT, environment, until
from support.far_end import page_of, wrong
from support.loopback import query, text_of
from support.pages import block_with
from support.processes import of_session, parsl_required, required, started, started_prometheus

import parsl_exporter

pytestmark = [pytest.mark.integration, pytest.mark.apart]

WORKLOAD = Path(__file__).parent / "workloads" / "served_run.py"
SECRET = "n0t-to-be-seen"
OF_HISTOGRAMS = re.compile(r"^(missing|differs): parsl_task_\w*(seconds|bytes)\{")
"""How a page differs."""


class Run(NamedTuple):
    """A workflow that does what it is told; `exporter` is the process beside it."""

    process: subprocess.Popen[str]
    folder: Path
    url: str

    @property
    def database(self) -> Path:
        (found,) = self.folder.glob("*/monitoring.db")
        return found

    @property
    def exporter(self) -> int:
        (found,) = [pid for pid in of_session(self.process.pid) if "workflow.child" in command(pid)]
        return found

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        assert self.said() == order

    def said(self) -> str:
        """The next line that it writes; a test that waits too long for one fails."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 60)[0], self.log
        return self.process.stdout.readline().strip()

    def ends(self) -> None:
        """It comes to its end, and leaves nothing behind."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.said() == "ended", self.log
        assert not any("workflow.child" in command(pid) for pid in of_session(self.process.pid))
        assert self.process.wait(30) == 0
        # Parsl's own take a moment more.
        until("nothing left", lambda: not of_session(self.process.pid), 10)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def command(pid: int) -> str:
    """Its arguments; none of one that has just ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def with_support() -> dict[str, str]:
    """The environment of a program that imports what tests do."""
    known = environment()
    return known | {"PYTHONPATH": f"{known['PYTHONPATH']}{os.pathsep}{ROOT / 'tests'}"}


def printed(*arguments: str, cwd: Path) -> str:
    """What a Python program prints that has nothing to complain of."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=with_support(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def running(folder: Path, address: str = "127.0.0.1:0", kind: str = "threads") -> Iterator[Run]:
    parsl_required()
    command = (sys.executable, WORKLOAD, address, kind)
    with started(*command, cwd=folder, log=folder / "log", environment=with_support()) as process:
        assert process.stdout is not None
        yield Run(process, folder, process.stdout.readline().strip())


def value(page: str, family: str, **labels: str) -> float:
    """The sum of the samples of a family with these labels."""
    own = "".join(rf'(?=.*{name}="{text}")' for name, text in labels.items())
    return sum(float(one) for one in re.findall(rf"(?m)^{family}\{{{own}.*\}} (\S+)$", page))


@pytest.mark.parametrize("kind", ["threads", "htex"])
def test_it_serves_the_run_and_ends_with_it(kind: str, tmp_path: Path) -> None:
    with running(tmp_path, kind=kind) as run:
        run.tell("5")
        page = f"{run.url}/metrics"
        until("the tasks", lambda: value(text_of(page), "parsl_tasks", state="exec_done") == 5)
        assert f'source="{run.database}"' in text_of(page)
        assert value(text_of(page), "parsl_workflow_end_timestamp_seconds") == 0
        run.ends()
        with pytest.raises(OSError):
            text_of(page)
        assert run.log == ""


@pytest.mark.stack
def test_prometheus_sees_the_end_of_the_run(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        address = run.url.removeprefix("http://")
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 3s}\n"
            f"scrape_configs: [{{job_name: parsl-exporter, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        with started_prometheus(required("prometheus", today=True), tmp_path) as prometheus:
            run.tell("7")
            until("two scrapes", lambda: query(prometheus, "count_over_time(up[1m]) > 1"))
            run.ends()
            at = time.time()
            found = query(prometheus, '{__name__=~"parsl_.+"}', time=at)
            page = page_of(found, "instance", "job")
            assert value(page, "parsl_workflow_end_timestamp_seconds") > 0
            assert value(page, "parsl_tasks", state="exec_done") == 7
            # Histograms observe a try 30 s after its end.
            differing = wrong(page, run.database, zone="local")
            assert [line for line in differing if not OF_HISTOGRAMS.search(line)] == []


def test_without_anybody_who_scrapes_nothing_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.tell("1")
        exporter = run.exporter
        assert run.process.stdin is not None
        run.process.stdin.close()
        until("the end", lambda: run.said() == "ended")
        assert not Path(f"/proc/{exporter}").exists()
        (database,) = list(tmp_path.rglob("monitoring.db"))
        ended = database.stat().st_mtime
        assert time.time() - ended < 10, "it lingers for 30 s where somebody scrapes"


@pytest.mark.parametrize("forked", [False, True])
def test_it_ends_when_the_workflow_is_killed_though_forks_hold_its_descriptors(
    forked: bool, tmp_path: Path
) -> None:
    with running(tmp_path) as run:
        run.tell("1")
        if forked:
            run.tell("fork")
        exporter = run.exporter
        run.process.kill()
        run.process.wait()
        until("the exporter's end", lambda: exporter not in of_session(run.process.pid), 10)


@pytest.mark.parametrize("killing", [signal.SIGKILL, signal.SIGTERM])
def test_the_workflow_goes_on_when_the_exporter_is_killed(killing: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.tell("1")
        os.kill(run.exporter, killing)
        until("a word of it", lambda: "this workflow has no metrics any more" in run.log)
        run.tell("3")
        run.ends()
        assert len(run.log.splitlines()) == 1


def test_ctrl_c_does_not_end_it_before_the_workflow(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.tell("2")
        page = f"{run.url}/metrics"
        until("the tasks", lambda: value(text_of(page), "parsl_tasks", state="exec_done") == 2)
        os.kill(run.exporter, signal.SIGINT)
        os.kill(run.exporter, signal.SIGHUP)
        os.killpg(run.process.pid, signal.SIGINT)  # which ends Parsl's own writer at once
        assert run.said() == "2 done as the exporter says"
        run.ends()


def test_a_port_that_is_taken_is_a_warning_and_the_workflow_goes_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with running(tmp_path, address) as run:
            assert run.url == "None"
            run.tell("2")
            run.ends()
            assert run.log == (
                f"parsl_exporter: this workflow has no metrics, and goes on: cannot listen on {address}:"
                " another program listens there; stop it or choose another port\n"
            )


class TestWithoutARun:
    """What goes wrong before there is a run."""

    @pytest.fixture(autouse=True)
    def config(self, tmp_path: Path) -> None:
        parsl_required()
        from parsl.config import Config
        from parsl.monitoring import MonitoringHub

        def make(**hub: Any) -> Config:
            return Config(run_dir=str(tmp_path / "runs"), monitoring=MonitoringHub(**hub))

        self.make = make
        self.bare = Config()

    def warned(self, caplog: pytest.LogCaptureFixture) -> str:
        (record,) = caplog.records
        assert (record.levelno, record.name.split(".")[0]) == (logging.WARNING, "parsl_exporter")
        return record.getMessage()

    def test_a_config_without_monitoring(self, caplog: pytest.LogCaptureFixture) -> None:
        with parsl_exporter.serve(self.bare) as exporter:
            assert exporter.url is None
        assert "this Config has no monitoring; give it monitoring=MonitoringHub(...)" in self.warned(caplog)

    @pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "192.0.2.1:9678"])
    def test_an_address_that_cannot_be_used(self, address: str, caplog: pytest.LogCaptureFixture) -> None:
        with parsl_exporter.serve(self.make(), address=address) as exporter:
            assert exporter.url is None
        assert "this workflow has no metrics" in self.warned(caplog)

    @pytest.mark.parametrize("linger", [float("inf"), float("nan"), -1.0, 1e300, None, "soon"])
    def test_a_time_to_linger_that_is_none(self, linger: Any, caplog: pytest.LogCaptureFixture) -> None:
        with parsl_exporter.serve(self.make(), address="127.0.0.1:0", linger=linger) as exporter:
            assert exporter.url is None
        assert "this workflow has no metrics" in self.warned(caplog)

    def test_what_is_no_config(self, caplog: pytest.LogCaptureFixture) -> None:
        with parsl_exporter.serve(None) as exporter:  # type: ignore[arg-type]
            assert exporter.url is None
        assert "AttributeError" in self.warned(caplog)

    def test_a_python_that_cannot_be_started(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with parsl_exporter.serve(self.make()) as exporter:
            assert exporter.url is None
        assert "No such file" in self.warned(caplog)

    def test_an_exporter_that_cannot_be_imported(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "numpy.py").write_text("raise ImportError('on purpose')")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT / 'exporter'}")
        with parsl_exporter.serve(self.make()) as exporter:
            assert exporter.url is None
        assert "on purpose" in self.warned(caplog)

    def test_a_working_folder_with_scripts_called_like_pythons_modules(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "logging.py").write_text("raise ImportError('on purpose')")
        monkeypatch.chdir(tmp_path)
        with parsl_exporter.serve(self.make(), address="127.0.0.1:0") as exporter:
            assert exporter.url

    def test_a_password_is_neither_in_arguments_nor_in_the_environment_nor_in_the_log(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = self.make(logging_endpoint=f"postgresql://me:{SECRET}@127.0.0.1:1/parsl")
        with parsl_exporter.serve(config, address="127.0.0.1:0") as exporter:
            until("a fault", lambda: caplog.records)
            source = 'source="postgresql://127.0.0.1:1/parsl"'
            until("a source", lambda: source in text_of(f"{exporter.url}/metrics"))
            (pid,) = [pid for pid in of_session(os.getsid(0)) if is_child(pid)]
            for about in ("cmdline", "environ"):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{about}").read_bytes()
        assert "onnection" in self.warned(caplog)
        assert SECRET not in caplog.text + repr(exporter)

    def test_the_exporters_own_configuration_file_and_what_it_says_of_this_database(
        self, tmp_path: Path
    ) -> None:
        source = {"path": "runs", "name": "mine", "timezone": "Asia/Tokyo"}
        (tmp_path / "exporter.yml").write_text(
            json.dumps({"sources": [source, "other.db"], "web": {"telemetry_path": "/m"}})
        )
        with parsl_exporter.serve(
            self.make(), address="127.0.0.1:0", config_file=tmp_path / "exporter.yml"
        ) as exporter:
            page = f"{exporter.url}/m"
            assert until("a poll", lambda: text_of(page))
            up = until("a source", lambda: re.findall(r"parsl_exporter_source_up\{.*", text_of(page)))
        assert up == ['parsl_exporter_source_up{source="mine"} 0']

    def test_a_process_that_is_forked_within_the_block_leaves_it_and_the_exporter_serves_on(
        self, tmp_path: Path
    ) -> None:
        program = (
            "import os, sys, parsl_exporter\n"
            "from support.loopback import text_of\n"
            "with parsl_exporter.serve('runs', address='127.0.0.1:0') as exporter:\n"
            "    if (forked := os.fork()) == 0:\n"
            "        sys.exit(7 if exporter.url is None else 1)\n"  # not known yet, and not waited for
            "    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 7\n"
            "    url = exporter.url\n"
            "    if os.fork() == 0:\n"
            "        sys.exit()\n"
            "    os.wait()\n"
            "    exporter._listener.join(2)\n"
            "    print(exporter.url == url and text_of(url + '/-/healthy'))\n"
        )
        assert printed("-c", program, cwd=tmp_path) not in ("", "False\n")

    def test_stopped_twice_or_never_it_leaves_nothing(self) -> None:
        exporter = parsl_exporter.serve(self.make(), address="127.0.0.1:0")
        assert exporter.url
        exporter.stop()
        exporter.stop()
        assert [pid for pid in of_session(os.getsid(0)) if is_child(pid)] == []


def is_child(pid: int) -> bool:
    """Whether it is an exporter that this very process has started."""
    stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(stat[1]) == os.getpid() and "workflow.child" in command(pid)


def test_the_lines_of_the_readme_are_a_workflow(tmp_path: Path) -> None:
    parsl_required()
    block = block_with("parsl.load", "python", "README.md")
    script = block.replace("serve(config)", "serve(config, address='127.0.0.1:0') as exporter")
    script = script.replace("...", "print(exporter.url, open_url(exporter.url + '/-/healthy'))")
    (tmp_path / "workflow.py").write_text(f"from support.loopback import text_of as open_url\n{script}")
    (tmp_path / "my_site.py").write_text(
        "from parsl.config import Config\nfrom parsl.monitoring import MonitoringHub\n"
        "config = Config(monitoring=MonitoringHub())\n"
    )
    assert re.match(r"http://127.0.0.1:\d+ ", printed("workflow.py", cwd=tmp_path))
