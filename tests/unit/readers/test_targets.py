"""What the names that a user gives stand for: files, folders, globs, URLs, there or not."""

import os
from pathlib import Path

import pytest
from support.source_harness import unprivileged

from parsl_exporter.config.settings import SourceSettings
from parsl_exporter.readers.targets import discover, distinct, glob_base


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


# --- folders above and below --------------------------------------------------------------------------------


def test_the_folder_of_a_workflow_stands_for_the_runinfo_folder_in_it(tmp_path: Path) -> None:
    database = made(tmp_path / "project" / "runinfo" / "monitoring.db")
    assert found(tmp_path / "project") == [(str(database), str(database))]
    assert found(tmp_path / "*") == [(str(database), str(database))]
    database.unlink()  # moved away, say: the source keeps its name
    assert found(tmp_path / "project") == [(str(database), str(database))]


def test_a_database_of_its_own_goes_before_that_of_a_runinfo_folder(tmp_path: Path) -> None:
    database = made(tmp_path / "project" / "monitoring.db")
    made(tmp_path / "project" / "runinfo" / "monitoring.db")
    assert found(tmp_path / "project") == [(str(database), str(database))]


def test_the_folder_of_one_run_stands_for_the_database_beside_it(tmp_path: Path) -> None:
    database = made(tmp_path / "runinfo" / "monitoring.db")
    (tmp_path / "runinfo" / "000").mkdir()
    assert found(tmp_path / "runinfo" / "000") == [(str(database), str(database))]
    (tmp_path / "runinfo" / "other").mkdir()
    assert found(tmp_path / "runinfo" / "other") == [(f"{tmp_path}/runinfo/other/monitoring.db",) * 2]


@pytest.mark.parametrize(
    ("target", "base"),
    [("{}/*/monitoring.db", "{}"), ("{}/a/r?n/x[1]", "{}/a"), ("{}/a", None), ("sqlite:///{}/*", None)],
)
def test_a_glob_begins_in_the_folders_that_are_named_in_full(
    tmp_path: Path, target: str, base: str | None
) -> None:
    wanted = None if base is None else Path(base.format(tmp_path))
    assert glob_base(target.format(tmp_path)) == wanted


# --- one file by several paths ------------------------------------------------------------------------------


def once(*targets: str | Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of what is read, and of what was found again with that of what is read for it."""
    kept, again = distinct(one for target in targets for one in discover(SourceSettings(str(target))))
    return [one.name for one in kept], [(one.found.name, one.first.name) for one in again]


def test_a_file_by_two_paths_is_the_first_that_is_named(tmp_path: Path) -> None:
    database = made(tmp_path / "real.db")
    link, hard = tmp_path / "a.db", tmp_path / "b.db"
    link.symlink_to(database)
    hard.hardlink_to(database)
    assert once(link, hard, database) == ([str(link)], [(str(hard), str(link)), (str(database), str(link))])
    assert once(database, link) == ([str(database)], [(str(link), str(database))])


def test_of_a_globs_paths_to_a_file_that_without_a_link_is_read(tmp_path: Path) -> None:
    """Or a link called latest would take the database of each run in turn."""
    old, new = made(tmp_path / "run1" / "monitoring.db"), made(tmp_path / "run2" / "monitoring.db")
    latest = tmp_path / "latest"
    latest.symlink_to("run1")
    glob = f"{tmp_path}/*/monitoring.db"
    assert once(glob) == ([str(old), str(new)], [(f"{latest}/monitoring.db", str(old))])
    latest.unlink()
    latest.symlink_to("run2")
    assert once(glob) == ([str(old), str(new)], [(f"{latest}/monitoring.db", str(new))])


def test_a_link_above_a_glob_makes_no_path_a_link(tmp_path: Path) -> None:
    made(tmp_path / "disk" / "run1" / "monitoring.db")
    (tmp_path / "disk" / "latest").symlink_to("run1")
    (tmp_path / "scratch").symlink_to("disk")
    kept, _ = once(f"{tmp_path}/scratch/*/monitoring.db")
    assert kept == [f"{tmp_path}/scratch/run1/monitoring.db"]


def test_hard_links_of_a_glob_are_read_as_the_first_in_order(tmp_path: Path) -> None:
    database = made(tmp_path / "b.db")
    (tmp_path / "a.db").hardlink_to(database)
    assert once(f"{tmp_path}/*.db") == ([f"{tmp_path}/a.db"], [(str(database), f"{tmp_path}/a.db")])


def test_files_that_are_not_there_are_never_the_same(tmp_path: Path) -> None:
    names = [f"{tmp_path}/a.db", f"{tmp_path}/b.db"]
    assert once(*names) == (names, [])
    for name in names:
        Path(name).symlink_to("/dev/null")
    assert once(*names) == (names, [])
