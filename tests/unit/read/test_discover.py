"""What the names that a user gives stand for: files, folders, globs, URLs, there or not."""

import os
from pathlib import Path

import pytest
from watched import unprivileged

from parsl_exporter.read.discover import discover
from parsl_exporter.settings import SourceSettings


def found(target: str | Path, name: str | None = None) -> list[tuple[str, str]]:
    return [(one.name, str(one.database)) for one in discover(SourceSettings(str(target), name=name))]


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_file_is_called_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = made(tmp_path / "runs" / "monitoring.db")
    monkeypatch.chdir(tmp_path)
    assert found("runs/../runs/monitoring.db") == [(str(database), str(database))]


def test_a_link_is_called_as_the_user_called_it(tmp_path: Path) -> None:
    database = made(tmp_path / "real.db")
    link = tmp_path / "link.db"
    link.symlink_to(database)
    assert found(link) == [(str(link), str(link))]


def test_a_folder_stands_for_the_database_in_it_there_or_not(tmp_path: Path) -> None:
    database = tmp_path / "runinfo" / "monitoring.db"
    database.parent.mkdir()
    assert found(tmp_path / "runinfo") == [(str(database), str(database))]
    made(database)
    assert found(tmp_path / "runinfo") == [(str(database), str(database))]


@pytest.mark.parametrize("spelt", ["runinfo", "runinfo/", "runinfo.old/"])
def test_a_folder_has_the_same_name_before_it_comes_and_after_it_went(tmp_path: Path, spelt: str) -> None:
    target = f"{tmp_path}/{spelt}"
    before = found(target)
    Path(target).mkdir()
    assert found(target) == before
    Path(target).rmdir()
    assert found(target) == before == [(f"{target.rstrip('/')}/monitoring.db",) * 2]


def test_a_missing_file_is_a_file(tmp_path: Path) -> None:
    assert found(tmp_path / "my.db") == [(str(tmp_path / "my.db"),) * 2]


def test_a_url_is_always_a_file(tmp_path: Path) -> None:
    assert found(f"sqlite:///{tmp_path}/monitoring") == [(f"{tmp_path}/monitoring",) * 2]


def test_a_given_name_stands_in_place_of_the_path(tmp_path: Path) -> None:
    assert found(tmp_path / "a.db", "mine") == [("mine", str(tmp_path / "a.db"))]


def test_a_glob_stands_for_what_it_matches_now(tmp_path: Path) -> None:
    glob = tmp_path / "*" / "monitoring.db"
    assert found(glob) == []
    one, other = made(tmp_path / "b" / "monitoring.db"), made(tmp_path / "a" / "monitoring.db")
    assert found(glob, "all:") == [(f"all:{other}", str(other)), (f"all:{one}", str(one))]
    one.unlink()
    assert found(glob) == [(str(other), str(other))]


def test_a_globs_match_may_go_again_and_a_named_file_stays(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    assert [one.fixed for one in discover(SourceSettings(str(database)))] == [True]
    assert [one.fixed for one in discover(SourceSettings(str(tmp_path / "*.db")))] == [False]


def test_a_glob_passes_over_folders_without_a_database(tmp_path: Path) -> None:
    database = made(tmp_path / "with" / "runinfo" / "monitoring.db")
    (tmp_path / "without" / "runinfo").mkdir(parents=True)
    assert found(tmp_path / "*" / "runinfo") == [(str(database), str(database))]


def test_a_glob_gives_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to(tmp_path / "gone")
    assert found(tmp_path / "*.db") == [(str(tmp_path / "a.db"),) * 2]


def test_brackets_in_the_name_of_a_file_that_is_there_are_no_glob(tmp_path: Path) -> None:
    database = made(tmp_path / "run[1]" / "monitoring.db")
    made(tmp_path / "run1" / "monitoring.db")
    assert found(database) == [(str(database), str(database))]


def test_a_name_that_is_no_utf_8_is_found(tmp_path: Path) -> None:
    database = made(tmp_path / os.fsdecode(b"\xff") / "monitoring.db")
    assert found(tmp_path / "*" / "monitoring.db") == [(str(database), str(database))]


def test_a_folder_that_may_not_be_entered_ends_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    made(secret / "runinfo" / "monitoring.db")
    secret.chmod(0)
    try:
        with unprivileged():
            assert found(secret / "a.db") == [(str(secret / "a.db"),) * 2]
            assert found(secret / "*" / "monitoring.db") == []
    finally:
        secret.chmod(0o700)
