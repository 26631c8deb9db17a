"""`status`: what it says of runs is what the page says, as text for people and as JSON for scripts."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.cells import cell_len
from rich.console import Console
from support.oracle import parse_only
from support.rows import EPOCH, Told, attempt, block, lifecycle, node, stamp, status, task, workflow
from support.rows import write as write_database
from support.source_harness import CORPUS, execute, unpacked

from parsl_exporter.base.errors import ConfigurationError, NoSuchRun
from parsl_exporter.base.formats import Format
from parsl_exporter.cli.dump import dump
from parsl_exporter.cli.status import once, read
from parsl_exporter.cli.status.terminal import news, source
from parsl_exporter.config.load import Overrides, load
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.model.report import RunReport, SourceReport
from parsl_exporter.model.states import STATES
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import options_of

NOW = EPOCH + 100
AT = Clock(wall=lambda: NOW)
SETTINGS = Settings(timezone="UTC")


class Said(NamedTuple):
    """What came of a call: the exit status, standard output, and the faults that were told."""

    exit_status: int
    text: str
    faults: list[str]

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [run for one in json.loads(self.text)["sources"] for run in one["runs"]]


@pytest.fixture
def say(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Said]:
    """Calls `status` once on some databases."""

    def call(*databases: Path, runs: tuple[str, ...] = (), as_json: bool = False, clock: Clock = AT) -> Said:
        settings = load(None, Overrides(databases=tuple(map(str, databases))))
        faults: list[str] = []
        exit_status = once(settings, runs, as_json=as_json, fault=faults.append, clock=clock)
        return Said(exit_status, capsysbinary.readouterr().out.decode(), faults)

    return call


@pytest.fixture
def set_utc(set_tz: Callable[[str], None]) -> None:
    set_tz("UTC")


pytestmark = pytest.mark.usefixtures("set_utc")


class Summed(NamedTuple):
    """The samples of a page that are not 0, summed by some of their labels."""

    page: str

    def by(self, family: str, *labels: str) -> dict[tuple[str, ...], float]:
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for key, value in parse_only(self.page, family).get(family, {}).items():
            assert isinstance(value, float)
            found[tuple(dict(key)[label] for label in labels)] += value
        return {key: value for key, value in found.items() if value}


def told(run: dict[str, Any], of: str, number: str, *labels: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """One of a run's lists of the document as the page has it, zeros left out."""
    for one in run[of]:
        begin = (run["run_id"], *(one[label] for label in labels))
        values = one[number] if isinstance(one[number], dict) else {None: one[number]}
        for state, count in values.items():
            if count:
                yield (*begin, *([state] if state is not None else [])), count


@pytest.mark.parametrize("name", CORPUS)
def test_the_numbers_are_those_of_the_page(name: str, folder: Path, say: Callable[..., Said]) -> None:
    path = unpacked(folder / "monitoring.db", name)
    said = say(path, as_json=True, clock=Clock())
    options = options_of(SETTINGS, SourceSettings(str(path)), "s")
    page = Summed(dump(SqliteReader(path), options, Format.TEXT, clock=Clock()).decode())
    runs = said.runs
    assert said.exit_status == 0
    for (of, number, *labels), family in {
        ("tasks", "states", "app", "executor"): ("parsl_tasks", "app", "executor", "state"),
        ("blocks", "states", "executor"): ("parsl_blocks", "executor", "state"),
        ("failures", "tries", "reason"): ("parsl_task_failures_total", "reason"),
        ("waiting", "tasks", "executor", "cause"): ("parsl_tasks_waiting", "executor", "cause"),
        ("waiting", "oldest_timestamp_seconds", "executor", "cause"): (
            "parsl_tasks_waiting_oldest_timestamp_seconds",
            "executor",
            "cause",
        ),
        ("workers", "managers", "executor"): ("parsl_manager_active", "executor"),
    }.items():
        mine = dict(pair for run in runs for pair in told(run, of, number, *labels))
        assert mine == page.by(family[0], "run_id", *family[1:]), family
    active = page.by("parsl_manager_active", "run_id", "executor", "manager")
    slots: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (run_id, executor, manager), count in page.by(
        "parsl_manager_workers", "run_id", "executor", "manager"
    ).items():
        slots[run_id, executor] += count * active.get((run_id, executor, manager), 0)
    assert dict(pair for run in runs for pair in told(run, "workers", "slots", "executor")) == {
        key: count for key, count in slots.items() if count
    }
    for key, family_name in {
        "start_timestamp_seconds": "parsl_workflow_start_timestamp_seconds",
        "end_timestamp_seconds": "parsl_workflow_end_timestamp_seconds",
        "last_row_timestamp_seconds": "parsl_workflow_last_row_timestamp_seconds",
    }.items():
        stamps = {(run["run_id"],): run[key] for run in runs if run[key] is not None}
        assert stamps == page.by(family_name, "run_id")
    names = ("run_id", "workflow_name", "workflow_version", "host", "user", "rundir")
    assert {tuple(run[one] for one in names) for run in runs} == page.by("parsl_workflow_info", *names).keys()


LIVE = [
    workflow("7f3a-live", workflow_name="montage.py"),
    *(row for i in range(5) for row in (task(i, run="7f3a-live"), attempt(i, run="7f3a-live"))),
    block("0", "RUNNING", 5, run="7f3a-live"),
    node("m", 6, workers=2, run="7f3a-live"),
    node("m", 7, workers=2, run="7f3a-live"),
    *(
        row
        for i in range(4)
        for row in lifecycle(i, ("pending", 1), ("launched", 2), ("running", 10), run="7f3a-live")
    ),
    *lifecycle(0, ("running_ended", 20), ("exec_done", 21), run="7f3a-live"),
    *lifecycle(1, ("running_ended", 20), ("failed", 21), run="7f3a-live"),
    *lifecycle(4, ("pending", 1), ("launched", 2), run="7f3a-live"),
]


def test_a_run_is_a_line_and_then_its_details(folder: Path, say: Callable[..., Said]) -> None:
    path = write_database(folder / "monitoring.db", LIVE)
    assert say(path).lines == [
        f"{path}: up to date",
        "",
        "    7f3a-liv  montage.py  for 1 min 40 s  running: 2 of 2 workers busy, 1 task waits for a free worker,"
        " 1 failed (unknown 1)",
        "",
        "  run       7f3a-live, montage.py of me on submit",
        "  time      began 2026-01-05 12:00:00 UTC, last row 2026-01-05 12:00:21 UTC",
        "  waiting   htex: 1 busy_workers since 2026-01-05 12:00:02 UTC",
        "  blocks    htex: 1 RUNNING",
        "  workers   htex: 2 of 2 busy on 1 manager",
        "  failures  unknown 1",
        "",
        "  tasks  launched  running  exec_done  failed",
        "  add           1        2          1       1",
        "",
    ]


DAYS = 3 * 86_400


def many_runs() -> list[Told]:
    """40 runs of which the third has not ended, and one that has been silent since."""
    return [
        row
        for i in range(40)
        for row in (
            workflow(f"{i:02}-run", began=i, completed=None if i in (2, 30) else i + 0.5),
            task(0, run=f"{i:02}-run"),
            attempt(0, run=f"{i:02}-run"),
            status(0, "pending", DAYS if i == 2 else i, run=f"{i:02}-run"),
        )
    ]


def days_later() -> Clock:
    """A clock by which all runs but the third are past `abandon_after`."""
    return Clock(wall=lambda: EPOCH + DAYS + 60)


def test_of_many_runs_those_that_live_and_then_the_newest_are_listed(
    folder: Path, say: Callable[..., Said]
) -> None:
    path = write_database(folder / "monitoring.db", many_runs())
    said = say(path, clock=days_later())
    listed = [line[4:].split()[0] for line in said.lines if "-run  wf" in line]
    assert listed == ["02-run", *(f"{i:02}-run" for i in range(39, 30, -1))]
    assert "  and 30 older runs (--run ID)" in said.lines
    assert re.findall(r"^  run +(\S+), wf of me on submit$", said.text, re.MULTILINE) == ["02-run"]
    (document,) = json.loads(say(path, as_json=True, clock=days_later()).text)["sources"]
    assert [run["run_id"] for run in document["runs"]] == listed
    assert document["other_runs"] == 30


def test_a_run_is_found_by_how_its_id_begins(folder: Path, say: Callable[..., Said]) -> None:
    path = write_database(folder / "monitoring.db", many_runs())
    assert [run["run_id"] for run in say(path, runs=("07", "3"), as_json=True).runs] == [
        "30-run",
        *(f"{i}-run" for i in (39, 38, 37, 36, 35, 34, 33, 32, 31)),
        "07-run",
    ]
    text = say(path, runs=("07", "38")).text
    assert re.findall(r"^  run +(\S+), wf of me on submit$", text, re.MULTILINE) == ["38-run", "07-run"]
    assert "older" not in text


def test_a_run_that_no_database_has_is_an_error(folder: Path, say: Callable[..., Said]) -> None:
    first, second = folder / "a.db", folder / "b.db"
    write_database(first, many_runs())
    write_database(second, LIVE)
    assert [run["run_id"] for run in say(first, second, runs=("7f",), as_json=True).runs] == ["7f3a-live"]
    with pytest.raises(NoSuchRun, match="there is no run whose id begins with x, y"):
        say(first, second, runs=("x", "7f", "y"))


def test_a_database_that_cannot_be_read_is_told_and_the_others_are_shown(
    folder: Path, say: Callable[..., Said]
) -> None:
    broken, whole = folder / "broken.db", folder / "whole.db"
    broken.write_text("no database at all" * 100)
    write_database(whole, LIVE)
    for as_json in (False, True):
        said = say(broken, folder / "missing.db", whole, as_json=as_json)
        assert said.exit_status == 1
        assert len(said.faults) == 2
        assert "broken.db: " in said.faults[0]
        assert "missing.db: no such file" in said.faults[1]
        assert "7f3a-live" in said.text
    down = json.loads(say(broken, as_json=True).text)["sources"][0]
    assert (down["state"], down["runs"]) == ("down", [])
    assert "not an SQLite database" in down["message"]


def test_a_glob_that_matches_nothing_is_an_error(folder: Path, say: Callable[..., Said]) -> None:
    with pytest.raises(ConfigurationError, match="no database is there"):
        say(folder / "*" / "monitoring.db")


def test_a_database_without_runs_says_so(folder: Path, say: Callable[..., Said]) -> None:
    path = write_database(folder / "monitoring.db", [])
    assert "no run yet" in say(path).text


def test_no_text_of_a_database_reaches_the_terminal_unescaped(folder: Path, say: Callable[..., Said]) -> None:
    odd = "\x1b[31mred\x1b]0;title\x07\n\u202e[bold]"
    path = write_database(
        folder / "monitoring.db",
        [
            workflow(odd, workflow_name=odd, user=odd, host=odd),
            task(0, app=odd, run=odd),
            attempt(0, executor=odd, history=odd, run=odd),
            block(odd, odd, 1, executor=odd, run=odd),
            status(0, odd, 1, run=odd),
        ],
    )
    text = say(path).text
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert r"\x1b[31mred\x1b]0;title\x07\n\u202e[bold]" in text
    assert say(path, as_json=True).runs[0]["workflow_name"] == odd
    assert all(c.isprintable() for one in news([_report(path)]).values() for c in one.line)


def _report(path: Path) -> SourceReport:
    (report,) = read(replace(SETTINGS, sources=(SourceSettings(str(path)),)), (), AT)
    return report


def test_time_that_goes_by_is_no_news(folder: Path) -> None:
    path = write_database(
        folder / "monitoring.db",
        [workflow(), task(0), attempt(0), status(0, "launched", 1), block("0", "PENDING", 1)],
    )
    (before,) = news([_report(path)]).values()
    (after,) = news([_report(path)._replace(as_of=NOW + 100)]).values()
    assert before.line != after.line
    assert before.told == after.told
    (worse,) = news([_report(path)._replace(as_of=NOW + 3_600)]).values()
    assert worse.told != before.told
    execute(path, f"UPDATE block SET status = 'RUNNING', timestamp = '{stamp(2)}'")
    (other,) = news([_report(path)]).values()
    assert other.told != before.told


def drawn(report: SourceReport, width: int) -> list[str]:
    """What a terminal of that width shows, without colours."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=True).print(
        source(report, details=False)
    )
    return [line.rstrip() for line in out.getvalue().splitlines()]


def wide_run() -> SourceReport:
    """A run with tasks in every state, a long verdict and a long name."""
    states = {state: 10 * i + 3 for i, state in enumerate(STATES)}
    names = {"workflow_name": "w" * 90, "user": "me", "host": "submit"}
    run = RunReport(
        run_id="04b3e25d-a9c1-4f1e-8b61-1a1b2c3d4e5f",
        names=names,
        begin_us=1_000_000,
        end_us=None,
        first_us=1_000_000,
        heard_us=2_000_000,
        tasks={("simulate_a_long_name", "htex"): states, ("日本語" * 20, "htex"): states},
        failures={f"Reason{i}": i for i in range(1, 9)},
        waiting={},
        held_us={},
        blocks={"htex": {"RUNNING": 2}},
        workers={},
        sampled=False,
    )
    return SourceReport("/scratch/runinfo/monitoring.db", "up", "up to date", 0, 3.0, (run,), 0)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_nothing_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    lines = drawn(wide_run(), width)
    assert max(map(cell_len, lines)) <= width
    counts = [str(10 * i + 3) for i in range(len(STATES))]
    assert [line.split()[-len(counts) :] == counts for line in lines].count(True) == 2


def test_a_narrow_terminal_has_the_verdict_below_the_run_and_a_wide_one_beside_it() -> None:
    (run,) = wide_run().runs
    names = {**run.names, "workflow_name": "standard second"}
    report = wide_run()._replace(runs=(run._replace(names=names),))
    narrow, wide = drawn(report, 72), drawn(report, 110)
    assert narrow[2] == "  !  04b3e25d  standard second  for 2 s"
    assert narrow[3].startswith("     running: 46 tasks on htex, ")
    assert wide[2].startswith("  !  04b3e25d  standard second  for 2 s  running: ")


def test_in_a_pipe_a_run_is_one_line_however_long(folder: Path, say: Callable[..., Said]) -> None:
    path = write_database(
        folder / "monitoring.db",
        [
            workflow(workflow_name="w" * 150),
            *(
                row
                for i in range(30)
                for row in (
                    task(i, app="a" * 199),
                    attempt(i, executor=f"executor-{i}-" + "e" * 150),
                    status(i, "launched", 1),
                )
            ),
        ],
    )
    assert len([line for line in say(path).lines if line.startswith("    run-1")]) == 1
