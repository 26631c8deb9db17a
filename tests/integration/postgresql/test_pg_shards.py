"""Several exporters share a server's runs: together they publish each exactly once."""

from __future__ import annotations

import uuid
from pathlib import Path

from support.oracle import differences, parse
from support.pg import tables
from support.pg.server import Server
from support.pg.watching import Watch
from support.source_harness import truth, unpacked

from parsl_exporter.base.shard import Shard
from parsl_exporter.config.load import Overrides, load

PARTS = 3


def test_three_exporters_publish_each_run_once_and_as_one_alone_does(server: Server, tmp_path: Path) -> None:
    original = unpacked(tmp_path / "original.db", "multi-2026.10.26")
    tables.create(server, "shared")
    tables.fill(server, "shared", original)
    server.execute("shared", *(f"INSERT INTO workflow VALUES ('{uuid.UUID(int=n)}', 'w', '1', '2026-11-22 09:00:00',"
                               " NULL, 'h', 'u', '/r', 0, 0)" for n in range(30)))  # fmt: skip

    pages = []
    for part in range(1, PARTS + 1):
        with Watch(server.url("shared", "reader"), Shard(part, PARTS)) as watch:
            pages.append(parse(watch.poll()))

    runs = [{dict(labels)["run_id"] for labels in page["parsl_workflow_info"]} for page in pages]
    assert all(runs)
    assert sum(map(len, runs)) == len(set().union(*runs)) == 33
    together = {
        family: {labels: value for page in pages for labels, value in page.get(family, {}).items()}
        for page in pages
        for family in page
    }
    assert differences(truth(tables.twin(server, "shared", tmp_path / "twin.db")), together) == []


def test_a_part_that_joins_late_reads_rows_that_come_for_its_runs_alone(
    server: Server, tmp_path: Path
) -> None:
    tables.create(server, "later")
    whole, part = Shard(1, 1), Shard(2, 2)
    with (
        Watch(server.url("later", "reader"), whole) as all_of_it,
        Watch(server.url("later", "reader"), part) as half,
    ):
        all_of_it.poll()
        half.poll()
        for n in range(20):
            run = uuid.UUID(int=n)
            server.execute("later", f"INSERT INTO workflow VALUES ('{run}', 'w', '1', '2026-11-22 09:00:00', NULL,"
                                    " 'h', 'u', '/r', 0, 0)",
                           f"INSERT INTO status VALUES (0, 'pending', '2026-11-22 09:00:01', '{run}', 0)")  # fmt: skip
        seen = [
            {dict(labels)["run_id"] for labels in parse(watch.poll())["parsl_task_transitions_total"]}
            for watch in (all_of_it, half)
        ]
    assert seen[0] >= seen[1]
    assert seen[1] == {run for run in seen[0] if part.holds(run)}
    assert 0 < len(seen[1]) < len(seen[0])


def test_the_command_line_takes_a_part_and_refuses_one_that_is_none() -> None:
    assert load(None, Overrides(shard="2/3")).shard == Shard(2, 3)
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3"):
        try:
            load(None, Overrides(shard=wrong))
        except Exception as error:
            assert "I/N with I from 1 to N" in str(error)
        else:
            raise AssertionError(wrong)
