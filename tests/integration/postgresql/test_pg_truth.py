"""What is read from PostgreSQL equals what the oracle says of the same rows in SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.oracle import differences, parse
from support.pg import tables
from support.pg.server import Server
from support.source_harness import CORPUS, truth, unpacked

from parsl_exporter.cli.main import main

NOT_ON_A_SERVER = "nameless"
"""Parsl's tables refer to the workflow row, which SQLite does not look at: a server takes no rows without it."""


def dumped(url: str, target: Path) -> str:
    config = target.with_suffix(".yml")
    config.write_text(f"timezone: UTC\nsources: [{{url: '{url}', name: s}}]\n")
    assert (
        main(["dump", "--config.file", str(config), "--format", "openmetrics", "--output", str(target), url])
        == 0
    )
    return target.read_bytes().decode()


@pytest.mark.parametrize("name", [name for name in CORPUS if not name.startswith(NOT_ON_A_SERVER)])
def test_the_corpus_copied_to_postgresql_is_dumped_as_the_oracle_has_it(
    server: Server, tmp_path: Path, name: str
) -> None:
    original = unpacked(tmp_path / "original.db", name)
    tables.without_nul(original)
    tables.create(server, name)
    tables.fill(server, name, original)

    page = dumped(server.url(name, "reader"), tmp_path / "page")

    assert differences(truth(original), parse(page)) == []


def test_a_database_that_parsl_wrote_to_postgresql_is_dumped_as_the_oracle_has_it(
    server: Server, tmp_path: Path
) -> None:
    server.create("written")
    tables.restore(server, "written")

    page = dumped(server.url("written", "reader"), tmp_path / "page")

    assert differences(truth(tables.twin(server, "written", tmp_path / "twin.db")), parse(page)) == []
