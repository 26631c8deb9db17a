"""From a Parsl Config to the database that Parsl writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from support.exporter_process import environment

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.settings import SourceSettings
from parsl_exporter.readers.targets import discover
from parsl_exporter.workflow.database import target_of


class Hub(NamedTuple):
    """As much of a MonitoringHub as tells where the database is; tests/integration/test_workflow.py has real ones."""

    logging_endpoint: str | None = None


class Config(NamedTuple):
    monitoring: Hub | None = Hub()
    run_dir: str = "runinfo"


def database(config: Config) -> str:
    (found,) = discover(SourceSettings(target_of(config)))
    return found.shown


def test_by_default_it_lies_in_the_run_folder_of_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    target = target_of(Config())
    monkeypatch.chdir("/")
    (found,) = discover(SourceSettings(target))
    assert found.shown == str(folder / "runinfo/monitoring.db")
    assert database(Config(run_dir="/scratch/my runs")) == "/scratch/my runs/monitoring.db"


def test_or_where_the_endpoint_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert database(Config(Hub("sqlite:///a/b.db"))) == str(folder / "a/b.db")
    assert database(Config(Hub("sqlite:////a/b.db?timeout=5"))) == "/a/b.db"
    assert database(Config(Hub("sqlite+pysqlite:////a/b"))) == "/a/b"
    assert database(Config(Hub("postgresql+psycopg2://me:x@host/db"))) == "postgresql+psycopg2://host/db"


def test_what_looks_like_a_glob_is_none(folder: Path) -> None:
    for name in ("run1", "run[1]"):
        (folder / name).mkdir()
    config = Config(run_dir=str(folder / "run[1]"))
    target = target_of(config)
    assert list(discover(SourceSettings(target))) == []
    for name in ("run1", "run[1]"):
        (folder / name / "monitoring.db").touch()
    assert database(config) == f"{folder}/run[1]/monitoring.db"


@pytest.mark.parametrize(
    "config", [Config(None), Config(Hub("sqlite://")), Config(Hub("sqlite:///:memory:"))]
)
def test_a_config_without_a_database_is_an_error_that_says_so(config: Config) -> None:
    with pytest.raises(ConfigurationError, match="this Config"):
        target_of(config)


def test_a_database_stands_for_itself(folder: Path) -> None:
    assert target_of("runinfo") == "runinfo"
    assert target_of(folder) == str(folder)


@pytest.mark.parametrize(
    ("imported", "not_there"),
    [
        ("import parsl_exporter", {"typing", "logging", "subprocess", "numpy", "rich", "sqlalchemy"}),
        ("from parsl_exporter import serve", {"numpy", "rich", "sqlalchemy", "uvicorn", "prometheus_client"}),
        ("from parsl_exporter import status", {"uvicorn.main"}),
    ],
)
def test_importing_is_cheap(imported: str, not_there: set[str]) -> None:
    program = f"import sys; before = set(sys.modules); {imported}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env=environment(PYTHONPATH=":".join(sys.path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "parsl_exporter" in done.stdout.split()
    assert not not_there & set(done.stdout.split())
