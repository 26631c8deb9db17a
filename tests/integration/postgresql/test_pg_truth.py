"""What is read from PostgreSQL equals what the oracle says of the same rows in SQLite."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from support.oracle import Series, differences, expected, parse
from support.pg import tables
from support.pg.server import Server

from parsl_exporter.cli.main import main
from parsl_exporter.config.settings import Settings

DATA = Path(__file__).parents[2] / "data"
NOT_ON_A_SERVER = "nameless"
"""Parsl's tables refer to the workflow row, which SQLite does not look at: a server takes no rows without it."""
CORPUS = sorted(
    path.name.removesuffix(".db.gz")
    for path in DATA.glob("*.db.gz")
    if not path.name.startswith(NOT_ON_A_SERVER)
)


def dumped(url: str, target: Path) -> str:
    config = target.with_suffix(".yml")
    config.write_text(f"timezone: UTC\nsources: [{{url: '{url}', name: s}}]\n")
    assert (
        main(["dump", "--config.file", str(config), "--format", "openmetrics", "--output", str(target), url])
        == 0
    )
    return target.read_bytes().decode()


def wanted(database: Path) -> Series:
    return expected(database, source="s", timezone="UTC", failure_reasons=Settings().failure_reasons)


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_copied_to_postgresql_is_dumped_as_the_oracle_has_it(
    server: Server, tmp_path: Path, name: str
) -> None:
    original = tmp_path / "original.db"
    original.write_bytes(gzip.decompress((DATA / f"{name}.db.gz").read_bytes()))
    tables.without_nul(original)
    tables.create(server, name)
    tables.fill(server, name, original)

    page = dumped(server.url(name, "reader"), tmp_path / "page")

    assert differences(wanted(original), parse(page)) == []


def test_a_database_that_parsl_wrote_to_postgresql_is_dumped_as_the_oracle_has_it(
    server: Server, tmp_path: Path
) -> None:
    server.create("written")
    server.restore("written", gzip.decompress((DATA / "pg-2026.10.26.dump.sql.gz").read_bytes()).decode())

    page = dumped(server.url("written", "reader"), tmp_path / "page")

    assert differences(wanted(tables.twin(server, "written", tmp_path / "twin.db")), parse(page)) == []
