"""The exporter itself in trouble: too many files, storms of signals, clocks that step, sources that hang."""

from __future__ import annotations

import http.client
import os
import resource
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from running_daemon import running
from support.exporter_process import Serving, ended, run, serving, until
from support.oracle import differences, expected, parse
from support.processes import eventually, limited
from support.rows import attempt, create, insert, status, task, workflow, write
from support.source_harness import Log, execute, unpacked

from parsl_exporter.base.formats import Format
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.daemon import supervisor as daemons
from parsl_exporter.daemon.daemon import Daemon

FOREVER = "3650d"


def configuration(folder: Path, *targets: Path) -> Path:
    """A configuration that reads these, and keeps runs that ended long ago."""
    file = folder / "exporter.yml"
    sources = "".join(f'  - path: "{target}"\n' for target in targets)
    ages = f"close_after: 50ms\nretention: {FOREVER}\nabandon_after: {FOREVER}\n"
    file.write_text(f"poll_interval: 100ms\n{ages}timezone: UTC\nfailure_reasons: []\nsources:\n{sources}")
    return file


def up(exporter: Serving, path: Path) -> float | None:
    return exporter.value(f'parsl_exporter_source_up{{source="{path}"}}')


def series_wrong(exporter: Serving, path: Path) -> list[str]:
    """How the run families of one source differ from what its database says."""
    page = parse(exporter.get("/metrics")[1])
    found = {
        family: {key: value for key, value in of_family.items() if ("source", str(path)) in key}
        for family, of_family in page.items()
        if not family.startswith("parsl_exporter_")
    }
    wanted = expected(path, source=str(path), timezone="UTC")
    return differences(wanted, {family: values for family, values in found.items() if values})


# --- many broken sources, one good --------------------------------------------------------------------------


def test_broken_sources_disturb_no_good_one_and_each_heals(folder: Path) -> None:
    good = unpacked(folder / "good.db", "crash-2026.10.26")
    names = ("missing", "text", "empty", "folder", "fifo", "dangling", "old", "truncated")
    broken = {name: folder / f"{name}.db" for name in names}
    targets = [good, *broken.values()]
    broken["folder"] /= "monitoring.db"
    broken["text"].write_text("no database")
    broken["empty"].touch()
    broken["folder"].parent.mkdir()
    os.mkfifo(broken["fifo"])
    broken["dangling"].symlink_to("gone")
    unpacked(broken["old"], "odd/visualize-first-2026.10.26")
    os.truncate(unpacked(broken["truncated"]), 9_000)

    with serving(folder, "--config.file", configuration(folder, *targets)) as exporter:
        until("ready", lambda: exporter.get("/-/ready")[0] == 200)
        until("the good one", lambda: up(exporter, good) == 1)
        for path in broken.values():
            until(path.name, lambda path=path: up(exporter, path) == 0)  # type: ignore[misc]  # bound at once
        landing = exporter.get("/")[1]
        for says in ("no such file", "a link that leads nowhere", "not an SQLite database", "has none of Parsl&#x27;s",
                     "no regular file", "made by parsl-visualize", "database disk image is malformed"):  # fmt: skip
            assert says in landing
        until("the good one is right", lambda: not series_wrong(exporter, good))

        for path in broken.values():  # in one step, as to be missing would be a fault of its own
            unpacked(folder / "whole").rename(path)
        for path in broken.values():
            until(path.name, lambda path=path: up(exporter, path) == 1)  # type: ignore[misc]  # bound at once
            until(path.name, lambda path=path: not series_wrong(exporter, path))  # type: ignore[misc]  # as above
        until("the good one is right", lambda: not series_wrong(exporter, good))
        assert len(exporter.events("works again")) == len(broken)


def test_a_glob_finds_what_appears_and_lets_go_of_what_vanished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    settings = Settings(
        poll_interval=0.05, retention=0.5, sources=(SourceSettings(f"{folder}/*/monitoring.db"),)
    )
    with running(settings) as daemon:
        until("ready without any", lambda: daemon.ready()[0])
        assert daemon.conditions() == []
        (folder / "a").mkdir()
        path = unpacked(folder / "a" / "monitoring.db")
        until("found", lambda: [c.state for c in daemon.conditions()] == ["up"])
        path.unlink()
        until("missed", lambda: [c.state for c in daemon.conditions()] == ["down"])
        until("let go", lambda: not daemon.conditions())
        unpacked(path)
        until("found again", lambda: [c.state for c in daemon.conditions()] == ["up"])


class Counted(tuple[SourceSettings, ...]):
    """Sources that know how often they were looked for."""

    looked = 0

    def __iter__(self) -> Iterator[SourceSettings]:
        type(self).looked += 1
        return super().__iter__()


def test_of_two_databases_of_one_name_the_first_is_read_and_the_other_named_once(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    first, second = unpacked(folder / "a.db"), unpacked(folder / "b.db")
    sources = Counted((SourceSettings(str(first), name=str(second)), SourceSettings(f"{folder}/b.*")))
    with running(Settings(poll_interval=0.05, sources=sources)) as daemon:
        until("looked for several times", lambda: Counted.looked > 3)
        assert [c.name for c in daemon.conditions()] == [str(second)]
    assert [line for line in log.new() if "two databases" in line] == [
        "warning two databases of one name: the second is not read; give it another name"
        f" source={second} first={first} second={second}"
    ]


def states(daemon: Daemon) -> dict[str, str]:
    return {condition.name: condition.state for condition in daemon.conditions()}


def published(daemon: Daemon) -> set[str]:
    """The sources that publish runs."""
    page = daemon.page(Format.TEXT, names=frozenset({"parsl_workflow_info"}), gzipped=False).decode()
    return {
        line.split('source="')[1].split('"')[0] for line in page.splitlines() if line.startswith("parsl_w")
    }


def test_a_file_by_two_paths_is_read_once_and_said_so_once(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    (folder / "run1").mkdir()
    path = unpacked(folder / "run1" / "monitoring.db")
    (folder / "latest").symlink_to("run1")
    sources = Counted((SourceSettings(f"{folder}/*/monitoring.db"), SourceSettings(str(path), name="again")))
    looked = Counted.looked
    with running(Settings(poll_interval=0.05, abandon_after=1e10, retention=1e10, sources=sources)) as daemon:
        until("looked for several times", lambda: Counted.looked > looked + 3)
        until("read", lambda: states(daemon) == {str(path): "up"})
    assert sorted(line for line in log.new() if "named twice" in line) == [
        f"info one file is named twice: it is read once, as the first source={path} again={again}"
        for again in (f"{folder}/latest/monitoring.db", "again")
    ]


@pytest.mark.parametrize("first", ["a file", "a glob"])
def test_a_file_is_read_by_its_other_path_when_one_goes_and_never_published_twice(
    folder: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    other = unpacked(folder / "b.db")
    link = folder / "a.link"
    link.hardlink_to(other)
    target = str(link) if first == "a file" else f"{folder}/*.link"
    sources = (SourceSettings(target), SourceSettings(str(other)))
    with running(Settings(poll_interval=0.05, abandon_after=1e10, retention=1e10, sources=sources)) as daemon:
        until("the first", lambda: published(daemon) == {str(link)} and states(daemon) == {str(link): "up"})
        link.unlink()
        left = {str(link): "down"} if first == "a file" else {}
        until("the other", lambda: states(daemon) == {str(other): "up"} | left)
        until("only the other", lambda: published(daemon) == {str(other)})
        link.hardlink_to(other)
        until("the first again", lambda: states(daemon) == {str(link): "up"})
        until("only the first", lambda: published(daemon) == {str(link)})


def test_a_workflows_folder_is_read_once_a_run_has_made_its_runinfo_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    with running(Settings(poll_interval=0.05, sources=(SourceSettings(str(folder)),))) as daemon:
        until("waiting", lambda: states(daemon) == {f"{folder}/monitoring.db": "down"})
        (folder / "runinfo").mkdir()
        path = unpacked(folder / "runinfo" / "monitoring.db")
        until("read", lambda: states(daemon) == {str(path): "up"})
        path.unlink()
        until("missed", lambda: states(daemon) == {str(path): "down"})


def test_a_port_in_use_is_named(folder: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--web.listen-address", address, cwd=folder)
    assert done.returncode == 1
    assert address in done.stderr
    assert "another program listens there; stop it or choose another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_names_every_fault_and_waits_for_no_lock_of_a_moment(folder: Path) -> None:
    good, odd = unpacked(folder / "good.db"), folder / "new\nline.db"
    with closing(sqlite3.connect(good, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        released = threading.Timer(2.0, writer.execute, ["ROLLBACK"])
        released.start()
        (folder / "gone.db").symlink_to("nowhere")
        odd.mkdir()
        (odd / "monitoring.db").mkdir()
        done = run("check", good, odd, folder / "gone.db", cwd=folder)
        released.join()
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"{good}: ok"
    odd_name = rf"{folder}/new\nline.db/monitoring.db"
    assert done.stdout.splitlines()[-3:] == [
        f"{odd_name}: FAULT a folder; give the path of a monitoring.db",
        f"{folder}/gone.db: FAULT a link that leads nowhere; Parsl makes it when a run with"
        " monitoring starts",
        "2 faults",
    ]


# --- signals ------------------------------------------------------------------------------------------------


LAST_RELOAD = "parsl_exporter_config_last_reload_successful"


def threads(exporter: Serving) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def files(exporter: Serving) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/fd").iterdir()))


def test_a_storm_of_reloads_reads_nothing_again_and_leaves_nothing_behind(folder: Path) -> None:
    good = unpacked(folder / "good.db")
    file = configuration(folder, good)
    rows = f'parsl_exporter_rows_read_total{{source="{good}",table="status"}}'
    with serving(folder, "--config.file", file) as exporter:
        read = until("read", lambda: exporter.value(rows))
        before = threads(exporter), files(exporter)
        right = file.read_text()
        for i in range(200):
            (folder / "next.yml").write_text(right if i % 2 else right.replace("retention", "retentoin"))
            (folder / "next.yml").rename(file)
            exporter.process.send_signal(signal.SIGHUP)
        until("the last one", lambda: exporter.value(LAST_RELOAD) == 1)
        assert exporter.value(rows) == read
        until("settled", lambda: (threads(exporter), files(exporter)) <= before)
        until("the good one is right", lambda: not series_wrong(exporter, good))


def test_sigterm_in_a_first_read_ends_it_within_two_seconds(folder: Path) -> None:
    path = folder / "large.db"
    create(path)
    execute(
        path,
        "INSERT INTO workflow (run_id, time_began) VALUES ('r', '2026-01-05 12:00:00.000000')",
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)"
        " INSERT INTO status SELECT 'r', i, 1, 'pending', '2026-01-05 12:00:00.000000' FROM n",
    )
    with serving(folder, "--config.file", configuration(folder, path)) as exporter:
        until("reading", lambda: "first read:" in exporter.get("/-/ready")[1])
        returned, seconds = ended(exporter.process, signal.SIGTERM)
        assert returned == 0
        assert seconds < 2
        assert exporter.log.read_text().count('"level":"error"') == 0


# --- limits -------------------------------------------------------------------------------------------------


def test_too_few_file_descriptors_are_named_and_when_there_are_more_it_goes_on(folder: Path) -> None:
    story = [workflow(), task(0), attempt(0), status(0, "pending", 1)]
    kept, *others = (write(folder / f"{i}.db", story) for i in range(10))
    with serving(folder, "--config.file", configuration(folder, kept, *others)) as exporter:
        until("all up", lambda: sum(up(exporter, path) or 0 for path in (kept, *others)) == 10)
        scraper = http.client.HTTPConnection("127.0.0.1", urlsplit(exporter.url).port, timeout=10)
        usual = resource.prlimit(exporter.process.pid, resource.RLIMIT_NOFILE)
        scraper.request("GET", "/-/healthy")
        scraper.getresponse().read()
        resource.prlimit(exporter.process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        for path in others:
            path.unlink()
            write(path, story)
        says = "cannot be opened: Too many open files; raise the limit (ulimit -n, LimitNOFILE) or read fewer"
        for path in others:
            until(path.name, lambda path=path: exporter.events(f"{path}: {says}"))  # type: ignore[misc]  # bound at once
        insert(kept, [status(0, "launched", 2)])
        launched = (
            f'parsl_tasks{{source="{kept}",run_id="run-1",app="add",executor="htex",state="launched"}} 1'
        )
        until("the open one is read on", lambda: launched in asked(scraper, "/metrics"))
        scraper.close()
        resource.prlimit(exporter.process.pid, resource.RLIMIT_NOFILE, usual)
        until("all up", lambda: sum(up(exporter, path) or 0 for path in (kept, *others)) == 10)


def test_two_thousand_databases_are_read_although_few_files_are_allowed_at_first(folder: Path) -> None:
    one = write(folder / "one.db", [workflow(), task(0), attempt(0), status(0, "pending", 1)])
    paths = [folder / f"user{i:04}" / "monitoring.db" for i in range(2_000)]
    for path in paths:
        path.parent.mkdir()
        shutil.copyfile(one, path)
    file = folder / "exporter.yml"
    file.write_text(
        f"retention: {FOREVER}\nabandon_after: {FOREVER}\ntimezone: UTC\nlimits: {{series: 1000000}}\n"
        f'sources: [{{path: "{folder}/user*/monitoring.db"}}]\n'
    )
    with limited(resource.RLIMIT_NOFILE, 1_024), serving(folder, "--config.file", file) as exporter:
        eventually("ready", 120, lambda: exporter.get("/-/ready")[0] == 200)
        page = exporter.get("/metrics?name[]=parsl_exporter_source_up")[1]
        assert page.count("} 1\n") == 2_000
        insert(paths[7], [status(0, "launched", 2)])
        shown = (
            f'parsl_tasks{{source="{paths[7]}",run_id="run-1",app="add",executor="htex",state="launched"}} 1'
        )
        eventually("shown", 120, lambda: shown in exporter.get("/metrics?name[]=parsl_tasks")[1])
        assert ended(exporter.process, signal.SIGTERM)[0] == 0


def asked(connection: http.client.HTTPConnection, path: str) -> str:
    """Ask again on a connection that is open."""
    connection.request("GET", path)
    return connection.getresponse().read().decode()
