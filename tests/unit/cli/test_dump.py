"""`dump` on databases that real runs wrote: what the oracle computes, in both formats."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timezone
from functools import cache
from pathlib import Path

import pytest
from support.oracle import BYTES, SECONDS, Series, differences, expected, parse, parse_only
from support.rows import EPOCH, Told, attempt, block, lifecycle, node, status, task, workflow
from support.rows import write as write_database
from support.source_harness import CORPUS, execute, in_memory, unpacked

from parsl_exporter.base.errors import NoSuchRun
from parsl_exporter.base.formats import Format
from parsl_exporter.cli.dump import dump, write
from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import SourceOptions

CONTRACT = Path(__file__).parents[2] / "contract.json"
REASONS = ("ValueError", "ManagerLost", "JoinError")
OPTIONS = SourceOptions(
    name="s",
    zone=timezone.utc,
    buckets=Buckets.of(SECONDS, BYTES),
    limits=Limits(close_after=30.0, retention=0.0, abandon_after=0.0, apps=1_000),
    runs=1_000,
    failure_reasons=REASONS,
    hidden=frozenset(),
)


@cache
def page(name: str, format: Format) -> str:
    """A dump of a database of the corpus."""
    with in_memory() as folder:
        reader = SqliteReader(unpacked(folder / f"{name}.db", name))
        return dump(reader, OPTIONS, format, clock=Clock()).decode()


@cache
def shown(name: str, format: Format) -> Series:
    """What it says."""
    return parse(page(name, format))


@cache
def truth(name: str) -> Series:
    """What the database says."""
    with in_memory() as folder:
        database = unpacked(folder / f"{name}.db", name)
        return expected(database, source="s", timezone="UTC", failure_reasons=REASONS, now=time.time())


@pytest.mark.parametrize("format", [Format.TEXT, Format.OPENMETRICS])
@pytest.mark.parametrize("name", CORPUS)
def test_a_dump_says_what_the_database_says(name: str, format: Format) -> None:
    assert differences(truth(name), shown(name, format)) == []


@pytest.mark.parametrize("name", ["scaling_simple-2026.10.26", "std-2026.10.26"])
def test_a_dump_says_what_the_database_says_without_resource_monitoring(name: str, folder: Path) -> None:
    path = unpacked(folder / "monitoring.db", name)
    execute(
        path,
        'UPDATE "try" SET block_id = NULL, hostname = NULL, task_try_time_running = NULL',
        "DELETE FROM status WHERE task_status_name IN ('running', 'running_ended')",
        "DELETE FROM resource",
    )
    found = parse(dump(SqliteReader(path), OPTIONS, Format.TEXT, clock=Clock()).decode())
    truth = expected(path, source="s", timezone="UTC", failure_reasons=REASONS)
    assert differences(truth, found) == []
    assert 1.0 in found["parsl_block_worked"].values()


RETRIED = [
    workflow(),
    task(0),
    attempt(0),
    *lifecycle(0, ("pending", 1), ("launched", 2), ("fail_retryable", 4)),
]
REPEATED = [
    workflow(),
    *(row for task_id in (0, 1) for row in (task(task_id), attempt(task_id))),
    status(1, "memo_done", 1),
    *lifecycle(0, ("pending", 1), ("launched", 2), ("running", 3), ("running_ended", 4), ("exec_done", 50)),
    status(0, "exec_done", 5),
]

ON_TWO_BLOCKS = [workflow(), block("0", "RUNNING", 1), block("1", "RUNNING", 1)]


def managers(*actives: str, step: float = 1) -> list[Told]:
    """A manager on each block, of these rows."""
    return [
        node(f"m{i}", 10 + step * at, block_id=str(i), active=active == "1")
        for i, rows in enumerate(actives)
        for at, active in enumerate(rows)
    ]


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(
            [*RETRIED, attempt(0, 1), status(0, "running", 6, 1)], id="crashed before a try's host came"
        ),
        pytest.param(REPEATED, id="an end twice, and another task's beside it"),
        pytest.param(
            [*RETRIED, attempt(0, 1), status(0, "exec_done", 10), status(0, "failed", 5, 1)],
            id="the end of an earlier try is the later one",
        ),
        pytest.param([workflow(), node("m1", -EPOCH)], id="a clock that was never set"),
        pytest.param([*ON_TWO_BLOCKS, *managers("110", "10")], id="drained after work, and without any"),
        pytest.param([*ON_TWO_BLOCKS, *managers("01", "0110")], id="active late"),
        pytest.param([*ON_TWO_BLOCKS, *managers("10", "1", step=-1)], id="a manager whose clock goes back"),
    ],
)
def test_a_dump_says_what_rows_say_that_are_seldom_written(story: list[Told], folder: Path) -> None:
    path = write_database(folder / "monitoring.db", story)
    found = parse(dump(SqliteReader(path), OPTIONS, Format.TEXT, clock=Clock()).decode())
    truth = expected(path, source="s", timezone="UTC", failure_reasons=REASONS)
    assert differences(truth, found) == []


def many_runs() -> list[Told]:
    """450 short runs, of which the last still runs."""
    return [
        row
        for i in range(450)
        for row in (
            workflow(f"run-{i:04}", began=i, completed=None if i == 449 else i + 0.5),
            task(0, run=f"run-{i:04}"),
            attempt(0, run=f"run-{i:04}"),
            status(0, "pending", i, run=f"run-{i:04}"),
        )
    ]


def of_runs(path: Path, *only: str, runs: int = 200) -> list[str]:
    options = OPTIONS._replace(runs=runs, only=frozenset(only))
    page = dump(SqliteReader(path), options, Format.TEXT, clock=Clock()).decode()
    found = parse_only(page, "parsl_tasks")["parsl_tasks"]
    return sorted(dict(key)["run_id"] for key in found if dict(key)["state"] == "pending")


def test_of_many_runs_the_live_and_then_the_newest_are_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_database(folder / "monitoring.db", many_runs())
    assert of_runs(path) == [f"run-{i:04}" for i in range(250, 450)]
    assert [record.getMessage() for record in caplog.records] == [
        "more runs than the limits allow: the oldest that have ended are left out, 250 now;"
        " raise limits or choose runs with --run"
    ]


def test_a_dump_can_be_of_chosen_runs(folder: Path) -> None:
    path = write_database(folder / "monitoring.db", many_runs())
    assert of_runs(path, "run-0003", "run-0001", runs=1) == ["run-0001", "run-0003"]


def test_a_chosen_run_that_is_not_there_is_an_error_that_names_what_is(folder: Path) -> None:
    path = write_database(folder / "monitoring.db", many_runs())
    with pytest.raises(NoSuchRun) as raised:
        of_runs(path, "run-0003", "run-3")
    assert str(raised.value) == (
        f"{path} has no run run-3; the last of its other runs are run-0449, run-0448, run-0447, run-0446,"
        " run-0445"
    )


def test_runs_that_are_there_are_not_said_to_be_missing_beside_one_that_is(folder: Path) -> None:
    path = write_database(folder / "monitoring.db", many_runs()[:8])
    for asked, said in [
        (("s",), "its runs are run-0001, run-0000"),
        (("run-0001", "s"), "its other runs are run-0000"),
        (("run-0000", "run-0001", "s"), "its runs are run-0001, run-0000"),
    ]:
        with pytest.raises(NoSuchRun) as raised:
            of_runs(path, *asked)
        assert str(raised.value) == f"{path} has no run s; {said}"


def test_a_chosen_run_may_lack_its_workflow_row(folder: Path) -> None:
    orphan = [task(0, run="r"), attempt(0, run="r"), status(0, "pending", 5, run="r")]
    path = write_database(folder / "monitoring.db", [*many_runs()[:8], *orphan])
    assert of_runs(path, "r") == ["r"]
    with pytest.raises(NoSuchRun, match=r"has no run s; its runs are r, run-0001, run-0000$"):
        of_runs(path, "s")


@pytest.mark.parametrize("name", ["crash-2026.10.26", "managerlost-2026.10.26", "unicode-2026.10.26"])
def test_both_formats_say_the_same(name: str) -> None:
    assert differences(shown(name, Format.TEXT), shown(name, Format.OPENMETRICS)) == []


def test_created_samples_can_be_left_out(folder: Path) -> None:
    name = "std-2026.10.26"
    reader, options = SqliteReader(unpacked(folder / "a.db", name)), OPTIONS._replace(created=False)
    left_out = dump(reader, options, Format.OPENMETRICS, clock=Clock()).decode()
    assert differences(shown(name, Format.OPENMETRICS), parse(left_out)) == []
    pages = (page(name, Format.OPENMETRICS), left_out)
    samples, without = ([line for line in one.splitlines() if line[0] != "#"] for one in pages)
    assert [line for line in without if "_created{" in line] == []
    assert 1.15 < len(samples) / len(without) < 1.25  # as the documentation says


def test_a_signal_that_comes_while_a_file_is_written_waits_until_it_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, bytes]] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(
        signal.SIGHUP, lambda *_: found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    )
    try:
        write(b"page", folder / "page.prom")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert found == [{"page.prom": b"page"}]


@pytest.fixture(scope="module")
def contract() -> dict[str, dict[str, object]]:
    declared: dict[str, dict[str, object]] = json.loads(CONTRACT.read_text())
    return declared


def test_the_families_are_those_of_the_contract(contract: dict[str, dict[str, object]]) -> None:
    assert contract == {
        family.name: {"type": family.kind, "labels": sorted(family.labels)} for family in FAMILIES
    }


def test_every_family_has_one_line_of_help() -> None:
    for family in FAMILIES:
        assert family.help.strip() == family.help != ""
        assert "\n" not in family.help


def test_every_family_appears_in_a_dump_with_the_labels_of_the_contract(
    contract: dict[str, dict[str, object]],
) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}
    for name in ("crash-2026.10.26", "std-2026.10.26"):  # one killed, one ended
        for family, series in shown(name, Format.TEXT).items():
            seen.setdefault(family, set()).update(tuple(sorted(dict(key))) for key in series)
    own_process = {family.name for family in PROCESS_FAMILIES}
    assert {name: [list(labels) for labels in found] for name, found in seen.items()} == {
        name: [declared["labels"]] for name, declared in contract.items() if name not in own_process
    }
