"""The exporter under a service manager: what it tells, the sockets that it is handed, and its units."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme
from support.exporter_process import COMMAND, ROOT, environment, until
from support.processes import free_port, required
from support.source_harness import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.apart]

UNITS = ROOT / "config" / "systemd"
PROGRAM = re.compile(r"^(ExecStart=)(?:/opt/|%h/venvs/)parsl-exporter/bin/parsl-exporter ", re.MULTILINE)
HANDED = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&"$PASSED"'
"""How a shell hands a socket to what it becomes, as systemd does."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a run in its runinfo folder."""
    (tmp_path / "runinfo").mkdir()
    unpacked(tmp_path / "runinfo" / "monitoring.db")
    return tmp_path


@contextmanager
def running(
    folder: Path, *command: str | Path, passed: tuple[int, ...] = (), given: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, given these variables, with its standard error in `folder/log`; killed at the end."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(**(given or {})), stderr=log, pass_fds=passed
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class UnixConnection(http.client.HTTPConnection):
    """A client of a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def status_of(connection: http.client.HTTPConnection, path: str = "/-/healthy") -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


# What it tells


class Manager:
    """The end of a service manager that is told how its service fares."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{folder}/notify")
        self.socket.settimeout(30)
        self.environment = {"NOTIFY_SOCKET": f"@{folder}/notify"}

    def told(self, key: str) -> dict[str, str]:
        """The next that has this key; statuses and signs of life between are left out."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            if key in (pairs := dict(line.split("=", 1) for line in lines)):
                return pairs


@pytest.fixture
def manager(folder: Path) -> Iterator[Manager]:
    manager = Manager(folder)
    yield manager
    manager.socket.close()


def test_it_is_ready_when_it_serves_and_says_how_its_sources_fare(folder: Path, manager: Manager) -> None:
    port = free_port()
    command = (*COMMAND, "serve", "--web.listen-address", f"127.0.0.1:{port}", "runinfo")
    with running(folder, *command, given=manager.environment) as process:
        assert manager.told("READY")["READY"] == "1"
        assert status_of(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) == 200
        while not (status := manager.told("STATUS")["STATUS"]).startswith("1 source: 1 up"):
            assert "looking for databases" in status or "reading" in status
        process.terminate()
        assert manager.told("STOPPING")["STOPPING"] == "1"
        assert process.wait(10) == 0


def test_a_source_that_is_down_is_in_its_status(folder: Path, manager: Manager) -> None:
    command = (
        *COMMAND,
        "serve",
        "--web.listen-address",
        f"127.0.0.1:{free_port()}",
        "runinfo",
        "elsewhere.db",
    )
    with running(folder, *command, given=manager.environment):
        while " down; " not in (status := manager.told("STATUS")["STATUS"]):
            pass
    assert status.startswith(f"2 sources: 1 up, 1 down; {folder}/elsewhere.db: ")


def test_a_reload_is_told_from_its_begin_to_its_end_and_what_came_of_it(
    folder: Path, manager: Manager
) -> None:
    configuration = folder / "exporter.yml"
    configuration.write_text("sources: [{path: runinfo}]\n")
    address = f"127.0.0.1:{free_port()}"
    command = (*COMMAND, "serve", "--web.listen-address", address, "--config.file", configuration)
    with running(folder, *command, given=manager.environment) as process:
        manager.told("READY")
        for text, came_of_it in (("nonsense: 1\n", True), ("sources: [{path: runinfo}]\n", False)):
            configuration.write_text(text)
            process.send_signal(signal.SIGHUP)
            assert int(manager.told("RELOADING")["MONOTONIC_USEC"]) > 0
            status = manager.told("READY")["STATUS"]
            assert ("configuration not taken" in status) == came_of_it


def test_signs_of_life_come_twice_as_often_as_the_watchdog_looks(folder: Path, manager: Manager) -> None:
    command = (*COMMAND, "serve", "--web.listen-address", f"127.0.0.1:{free_port()}", "runinfo")
    with running(folder, *command, given=manager.environment | {"WATCHDOG_USEC": "200000"}) as process:
        for _ in range(5):
            manager.told("WATCHDOG")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        manager.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                manager.told("WATCHDOG")


def test_a_watchdog_that_ends_it_leaves_where_it_hung(folder: Path, manager: Manager) -> None:
    command = (*COMMAND, "serve", "--web.listen-address", f"127.0.0.1:{free_port()}", "runinfo")
    with running(folder, *command, given=manager.environment | {"WATCHDOG_USEC": "60000000"}) as process:
        manager.told("READY")
        process.send_signal(signal.SIGABRT)  # what systemd sends (WatchdogSignal=)
        assert process.wait(10) == -signal.SIGABRT
    log = (folder / "log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "web/server.py" in log


# The sockets that it is handed


def activated(folder: Path, *flags: str, options: tuple[str | Path, ...] = ()) -> list[str | Path]:
    """The exporter, started by systemd's own program for it at the first connection."""
    program = required("systemd-socket-activate")
    # Only what is named is handed on.
    kept = [
        f"--setenv={name}={value}" for name, value in environment().items() if name in ("PYTHONPATH", "PATH")
    ]
    return [program, *flags, *kept, *COMMAND, "serve", "--web.systemd-socket", *options, "runinfo"]


def loopback_has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_it_serves_on_each_socket_that_it_is_handed(folder: Path) -> None:
    port, unix = free_port(), str(folder / "web.sock")
    hosts = ["127.0.0.1", *(["::1"] if loopback_has_ipv6() else [])]
    listen = [f"--listen={f'[{host}]' if ':' in host else host}:{port}" for host in hosts]
    # Its own addresses do not count: this one no machine has.
    own = ("--web.listen-address", "192.0.2.1:9678")
    with running(folder, *activated(folder, *listen, f"--listen={unix}", options=own)):
        until("a socket", lambda: Path(unix).exists() or None)
        assert status_of(UnixConnection(unix)) == 200
        for host in hosts:
            assert status_of(http.client.HTTPConnection(host, port, timeout=30), "/metrics") == 200
        assert f"url=http+unix:{unix}" in (folder / "log").read_text()


def test_a_unix_socket_takes_tls_like_any_other(folder: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.pem}\n")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    unix = str(folder / "web.sock")
    with running(folder, *activated(folder, f"--listen={unix}", options=("--web.config.file", "web.yml"))):
        until("a socket", lambda: Path(unix).exists() or None)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(30)
            raw.connect(unix)
            with trusting.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_scrape_waits_while_the_exporter_is_started_anew(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        command = ("bash", "-c", HANDED, "bash", *COMMAND, "serve", "--web.systemd-socket", "runinfo")
        for _ in range(2):
            # Nobody takes it yet: the kernel does.
            waiting = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            waiting.connect()
            with running(folder, *command, passed=(number,), given={"PASSED": str(number)}) as process:
                assert status_of(waiting) == 200
                process.terminate()
                assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, "no socket was passed on; leave out --web.systemd-socket"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, "no socket was passed on"),
        ({"LISTEN_FDS": "many", "LISTEN_PID": "$$"}, "no socket was passed on"),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "$$"}, "no socket was passed on"),
        ({"LISTEN_FDS": "9" * 5000, "LISTEN_PID": "$$"}, "no socket was passed on"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "$$"}, "descriptor 3 that was passed on is no stream socket"),
        (
            {"LISTEN_FDS": "1", "LISTEN_PID": "$$", "LISTEN_FDNAMES": "web"},
            "descriptor 3 that was passed on ('web') is no stream socket that listens; name it with ListenStream=",
        ),
    ],
)
def test_what_is_no_socket_to_serve_on_is_named(folder: Path, changes: Mapping[str, str], fault: str) -> None:
    own_pid = "LISTEN_PID=$$ " if changes.get("LISTEN_PID") == "$$" else ""
    done = subprocess.run(
        ["bash", "-c", f'{own_pid}exec "$@" 3</dev/null', "bash", *COMMAND, "serve", "--web.systemd-socket"],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, fault in done.stderr) == (1, True), done.stderr


def test_a_connection_instead_of_a_socket_is_refused(folder: Path) -> None:
    port = free_port()
    with running(folder, *activated(folder, "--accept", f"--listen=127.0.0.1:{port}")):
        until("a connection", lambda: socket.create_connection(("127.0.0.1", port), timeout=30)).close()
        until("a fault", lambda: "is no stream socket that listens" in (folder / "log").read_text())


# Its units

OF_THE_SYSTEM = ("parsl-exporter.service", "parsl-exporter.socket")
OF_A_USER = ("parsl-exporter.service", r"parsl-exporter@home-alice-my\x2druns-runinfo.service")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, with a program that is there."""
    target = tmp_path / "units"
    shutil.copytree(UNITS, target)
    for file in (*target.rglob("*.service"), *target.rglob("*.conf")):
        text, count = PROGRAM.subn(rf"\1{sys.executable} -m parsl_exporter ", file.read_text())
        assert count, file
        file.write_text(text)
    for kind in ("service", "socket"):
        instance = f"parsl-exporter@home-alice-my\\x2druns-runinfo.{kind}"
        shutil.copy(target / "user" / f"parsl-exporter@.{kind}", target / "user" / instance)
    return target


def analyze(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    with TemporaryDirectory(
        prefix="u"
    ) as runtime:  # short, as /run/user/1000 is: the sockets' paths begin with it
        return subprocess.run(
            [required("systemd-analyze"), *arguments],
            cwd=folder,
            env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "XDG_RUNTIME_DIR": runtime},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize(
    ("flags", "below", "names"),
    [
        pytest.param((), ".", OF_THE_SYSTEM, id="system"),
        pytest.param(("--user",), "user", OF_A_USER, id="user"),
    ],
)
def test_systemd_accepts_the_units(
    installed: Path, flags: tuple[str, ...], below: str, names: tuple[str, ...]
) -> None:
    # Without man it would complain that it cannot look for pages.
    done = analyze(installed / below, *flags, "verify", "--man=no", *names)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_may_no_more_than_the_page_says(installed: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = re.search(r"`systemd-analyze security` gives it (\d+\.\d)", " ".join(page.split()))
    assert told
    done = analyze(installed, "security", "--offline=true", "--no-pager", "parsl-exporter.service")
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert exposure, done.stderr
    version = analyze(installed, "--version").stdout.split()[1]
    others = 0.0 if version == "252" else 0.5  # later ones ask for more, and weigh otherwise
    assert float(exposure[1]) <= float(told[1]) + others


def test_units_of_a_user_ask_for_nothing_that_only_root_may() -> None:
    of_the_manager_of_all = re.compile(
        r"^(User|Group|DynamicUser|SupplementaryGroups|Protect\w+|Private\w+|CapabilityBoundingSet|After=network)",
        re.MULTILINE,
    )
    for file in (UNITS / "user").iterdir():
        assert not of_the_manager_of_all.search(file.read_text()), file


def test_the_socket_of_a_run_folder_has_a_name_that_fits(installed: Path) -> None:
    escaped = subprocess.run(
        [required("systemd-escape"), "--path", "/scratch/project-0815/alice/montage/runinfo"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    listen = re.search(
        r"^ListenStream=(.+)$", (UNITS / "user" / "parsl-exporter@.socket").read_text(), re.MULTILINE
    )
    assert listen
    path = listen[1].replace("%t", "/run/user/1234567890").replace("%i", escaped)
    assert len(path) < 108
