"""`dump` on databases that real runs wrote: what the oracle computes, in both formats."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timezone
from pathlib import Path

import pytest
from oracle import BYTES, SECONDS, differences, expected, parse
from telling import EPOCH, Told, attempt, lifecycle, node, status, task, workflow
from telling import write as write_database
from watched import DATA, unpacked

from parsl_exporter.dump import dump, write
from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES
from parsl_exporter.model.groups import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.read.sqlite import SqliteReader
from parsl_exporter.source import Clock, SourceOptions

NAMES = sorted(path.name.removesuffix(".db.gz") for path in DATA.glob("*.db.gz"))
CONTRACT = Path(__file__).parents[1] / "contract.json"
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


def page(name: str, folder: Path, *, openmetrics: bool) -> str:
    reader = SqliteReader(unpacked(folder / f"{name}.db", name))
    return dump(reader, OPTIONS, openmetrics=openmetrics, clock=Clock()).decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_dump_says_what_the_database_says(name: str, folder: Path) -> None:
    found = parse(page(name, folder, openmetrics=False))
    truth = expected(
        folder / f"{name}.db", source="s", timezone="UTC", failure_reasons=REASONS, now=time.time()
    )
    assert differences(truth, found) == []


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
    ],
)
def test_a_dump_says_what_rows_say_that_are_seldom_written(story: list[Told], folder: Path) -> None:
    path = write_database(folder / "monitoring.db", story)
    found = parse(dump(SqliteReader(path), OPTIONS, openmetrics=False, clock=Clock()).decode())
    truth = expected(path, source="s", timezone="UTC", failure_reasons=REASONS)
    assert differences(truth, found) == []


@pytest.mark.parametrize("name", ["crash-2026.10.26", "managerlost-2026.10.26", "unicode-2026.10.26"])
def test_both_formats_say_the_same(name: str, folder: Path) -> None:
    text, openmetrics = (parse(page(name, folder, openmetrics=o)) for o in (False, True))
    assert differences(text, openmetrics) == []


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
    contract: dict[str, dict[str, object]], folder: Path
) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}
    for name in ("crash-2026.10.26", "std-2026.10.26"):  # one killed, one ended
        for family, series in parse(page(name, folder, openmetrics=False)).items():
            seen.setdefault(family, set()).update(tuple(sorted(dict(key))) for key in series)
    own_process = {family.name for family in PROCESS_FAMILIES}
    assert {name: [list(labels) for labels in found] for name, found in seen.items()} == {
        name: [declared["labels"]] for name, declared in contract.items() if name not in own_process
    }
