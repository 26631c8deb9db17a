"""`push`: what arrives in a Pushgateway equals SQL, goes again at the end, and is tried on for."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from support.exporter_process import COMMAND, environment, run, until
from support.far_end import NEXT, SETTINGS, STORY, page_of, running, wrong
from support.loopback import query, text_of
from support.pages import block_with
from support.processes import free_port, required, started, started_prometheus
from support.rows import insert
from support.rows import write as write_database
from support.source_harness import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.apart]

SECRET = "n0t-to-be:seen@all"
QUOTED = "n0t-to-be%3Aseen%40all"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "exporter.yml").write_text(SETTINGS)
    (tmp_path / "with space").mkdir()
    return write_database(tmp_path / "with space" / "monitoring.db", STORY)


@contextmanager
def gateway(folder: Path, *flags: str) -> Iterator[str]:
    with running("prometheus-pushgateway", folder, "--persistence.file=", *flags) as url:
        yield url


@contextmanager
def pushing(
    folder: Path, url: str, *arguments: str | Path, **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """A `push` that goes on."""
    command = (*COMMAND, "push", "--to", url, "--interval", "1s", "--config.file", "exporter.yml", *arguments)
    with started(*command, cwd=folder, log=folder / "log", environment=environment(**changes)) as process:
        yield process


def groups(url: str) -> list[dict[str, str]]:
    """The grouping keys that the Pushgateway has."""
    found: list[dict[str, Any]] = json.loads(text_of(f"{url}/api/v1/metrics"))["data"]
    return sorted((one["labels"] for one in found), key=str)


def test_the_numbers_are_those_of_sql_as_databases_grow(database: Path) -> None:
    folder = database.parents[1]
    other = unpacked(folder / "other.db", "std-2026.10.26")
    with gateway(folder) as url, pushing(folder, url, database, other):
        until("the truth", lambda: not wrong(text_of(f"{url}/metrics"), database, other))
        names = [{"job": "parsl-exporter", "source": str(path)} for path in (other, database)]
        assert groups(url) == sorted(names, key=str)
        insert(database, NEXT)
        assert wrong(text_of(f"{url}/metrics"), database, other)
        until("the new rows", lambda: not wrong(text_of(f"{url}/metrics"), database, other))


def test_prometheus_has_them_under_the_job_that_the_alerts_ask_for(database: Path) -> None:
    folder = database.parents[1]
    with gateway(folder) as url, pushing(folder, url, database):
        block = block_with("honor_labels", "yaml", "docs/without-prometheus.md")
        block = block.replace("gateway.example.org:9091", url.removeprefix("http://"))
        (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\n{block}")
        with started_prometheus(required("prometheus", today=True), folder) as prometheus:

            def told() -> str:
                return page_of(query(prometheus, '{__name__=~"parsl_.+"}'), "instance", "job")

            until("the truth", lambda: not wrong(told(), database))
            up = query(prometheus, "up")
            assert [one["metric"]["job"] for one in up] == ["parsl-exporter"]
            found = query(prometheus, "parsl_tasks")
            assert {(one["metric"]["job"], one["metric"]["source"]) for one in found} == {
                ("parsl-exporter", str(database))
            }


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_at_the_end_it_is_deleted(ending: signal.Signals, database: Path) -> None:
    folder = database.parents[1]
    with gateway(folder) as url:
        with pushing(folder, url, database) as process:
            until("a push", lambda: groups(url))
            process.send_signal(ending)
            assert process.wait(10) == 0
        assert groups(url) == []


def test_or_its_last_state_is_kept(database: Path) -> None:
    folder = database.parents[1]
    with gateway(folder) as url:
        with pushing(folder, url, database, "--keep", "--interval", "1h") as process:
            until("a push", lambda: groups(url))
            insert(database, NEXT)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        assert re.search(r'(?m)^parsl_tasks\{.*state="exec_done"\} 2$', text_of(f"{url}/metrics"))


def test_what_a_glob_matches_no_more_is_deleted(database: Path) -> None:
    folder = database.parents[1]
    (folder / "exporter.yml").write_text(SETTINGS.replace("1000w, a", "1s, a"))
    unpacked(folder / "other.db", "std-2026.10.26")
    with gateway(folder) as url, pushing(folder, url, "*.db", "*/*.db"):
        until("both", lambda: len(groups(url)) == 2)
        (folder / "other.db").unlink()
        until("one", lambda: [one["source"] for one in groups(url)] == [str(database)])
        database.unlink()
        until("none", lambda: groups(url) == [])


def test_a_gateway_that_is_away_is_told_once_and_tried_on_for(database: Path) -> None:
    folder = database.parents[1]
    port = free_port()
    with pushing(folder, f"http://me:{QUOTED}@127.0.0.1:{port}", database) as process:
        log = folder / "log"
        until("the fault", lambda: "cannot be reached" in log.read_text())
        flags = (f"--web.listen-address=127.0.0.1:{port}", "--persistence.file=")
        with started(
            required("prometheus-pushgateway", today=True), *flags, cwd=folder, log=folder / "gateway.log"
        ):
            until("a push", lambda: groups(f"http://127.0.0.1:{port}"))
            until("that it works again", lambda: "works again" in log.read_text())
            assert log.read_text().count("cannot be reached") == 2
            assert log.read_text().count("still failing") == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 1, "what was pushed could not be deleted"
    assert SECRET not in log.read_text() and QUOTED not in log.read_text()


@pytest.mark.nightly
def test_a_gateway_that_takes_a_connection_and_says_nothing_keeps_nobody_up(database: Path) -> None:
    folder = database.parents[1]
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pushing(folder, f"http://127.0.0.1:{silent.getsockname()[1]}", database) as process,
    ):
        with silent.accept()[0]:
            until("the fault", lambda: "timed out" in (folder / "log").read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1


def test_a_password_may_come_in_the_url_or_in_the_environment(database: Path) -> None:
    folder = database.parents[1]
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(f"basic_auth_users: {{me: {json.dumps(hashed)}}}\n")
    port = free_port()
    address = f"127.0.0.1:{port}"
    flags = ("--persistence.file=", "--web.config.file=web.yml", f"--web.listen-address={address}")
    with started(
        required("prometheus-pushgateway", today=True), *flags, cwd=folder, log=folder / "gateway.log"
    ):
        until("a gateway", lambda: socket.create_connection(("127.0.0.1", port))).close()
        for url, changes, said in [
            (f"http://me:{QUOTED}@{address}", {}, ""),
            (f"http://me@{address}", {"PARSL_EXPORTER_PUSH_PASSWORD": SECRET}, ""),
            (f"http://me:{QUOTED}x@{address}", {}, "401 Unauthorized"),
            (f"http://{address}", {"PARSL_EXPORTER_PUSH_PASSWORD": SECRET}, "401 Unauthorized"),
        ]:
            done = run("push", "--to", url, database, cwd=folder, **changes)
            assert (done.returncode, said in done.stderr) == (1 if said else 0, True), done.stderr
            assert not any(secret in done.stdout + done.stderr for secret in (SECRET, QUOTED))


def test_once_it_pushes_all_runs_whole_and_names_what_it_cannot_read(database: Path) -> None:
    folder = database.parents[1]
    (folder / "exporter.yml").write_text(
        "timezone: UTC\n"
    )  # with its retention, which nothing of a push once heeds
    other = unpacked(folder / "other.db", "std-2026.10.26")
    with gateway(folder) as url:
        done = run("push", "--to", url, "--config.file", "exporter.yml", other, "nothing.db", cwd=folder)
        assert done.returncode == 1
        assert done.stderr.startswith(f"parsl-exporter: {folder}/nothing.db: no such file")
        assert wrong(text_of(f"{url}/metrics"), other) == []


@pytest.mark.parametrize(
    "url",
    [f"ftp://me:{QUOTED}@host", f"me:{QUOTED}@host:9091", f"http://me:{QUOTED}@", f"http://me:{QUOTED}@h?x"],
)
def test_what_is_no_url_of_a_gateway_is_wrong_usage_and_shows_no_password(url: str, tmp_path: Path) -> None:
    done = run("push", "--to", url, "x.db", cwd=tmp_path)
    assert (done.returncode, "is no URL of a Pushgateway" in done.stderr) == (2, True)
    assert QUOTED not in done.stderr
