"""What is said of a database that is not there: that a run is to make it, or what is likelier meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsl_exporter.base.errors import SourceFault, SourceToCome
from parsl_exporter.readers.absent import absence
from parsl_exporter.readers.sqlite.reader import SqliteReader


def said(path: Path) -> str:
    with pytest.raises(SourceFault) as caught:
        SqliteReader(path).changed()
    assert caught.value.reason == "missing"
    assert str(caught.value) == str(absence(path))
    return str(caught.value).removeprefix(f"{path}: ")


def to_come(path: Path) -> bool:
    return isinstance(absence(path), SourceToCome)


@pytest.mark.parametrize("folder", ["runinfo", "campaign"])
def test_a_run_is_to_make_the_file_and_the_folder_of_runs(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "monitoring.db"
    assert said(path) == "no such file; Parsl makes it when a run with monitoring starts"
    assert to_come(path)


def test_a_folder_without_runs_may_be_theirs_or_the_one_in_which_they_will_be_started(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.db"
    assert said(path) == (
        "no such file, nor runinfo/monitoring.db beside it; Parsl makes it when a run with monitoring starts"
    )
    assert to_come(path)


def test_a_folder_further_up_that_is_not_there_is_a_slip(tmp_path: Path) -> None:
    path = tmp_path / "campiagn" / "one" / "runinfo" / "monitoring.db"
    assert said(path) == f"there is no folder {tmp_path}/campiagn; correct the path"
    assert not to_come(path)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("runinfo/monitorng.db", "runinfo/monitoring.db"),
        ("monitoring.db", "runinfo/monitoring.db"),
        ("my.db", "runinfo/monitoring.db"),
    ],
)
def test_a_database_that_lies_near_is_named(tmp_path: Path, wrong: str, right: str) -> None:
    (tmp_path / right).parent.mkdir()
    (tmp_path / right).touch()
    assert said(tmp_path / wrong) == f"no such file, but {tmp_path / right} is there; give that"
    assert not to_come(tmp_path / wrong)


def test_runs_without_monitoring_are_told_what_they_lack(tmp_path: Path) -> None:
    (tmp_path / "runinfo" / "000").mkdir(parents=True)
    path = tmp_path / "runinfo" / "monitoring.db"
    assert said(path).startswith("no such file, though runs have been in its folder; do they have monitoring")
    for lacking in ("MonitoringHub", "__main__", "logging_endpoint"):
        assert lacking in said(path)
    assert to_come(path)


def test_a_link_that_leads_nowhere_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to("gone")
    assert said(tmp_path / "a.db").startswith("a link that leads nowhere")
    assert not to_come(tmp_path / "a.db")
