"""Files come into a folder all or not at all, and over nothing that somebody else wrote."""

from __future__ import annotations

import re
import resource
import tempfile
from pathlib import Path

import pytest
from support.processes import limited

from parsl_exporter.assets.folder import closed_to_others, write
from parsl_exporter.base.errors import AssetsFault
from parsl_exporter.base.process import umask

FILES = {"config/a.yml": b"a: 1\n", "docs/b.md": b"# b\n"}


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    assert write(FILES, tmp_path / "new" / "dir", replace=False) == 2
    assert content(tmp_path) == {f"new/dir/{name}": text for name, text in FILES.items()}


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    write(FILES, tmp_path / "dir", replace=False)
    mask = umask()
    for path, mode in (("dir", 0o777), ("dir/config", 0o777), ("dir/config/a.yml", 0o666)):
        assert (tmp_path / path).stat().st_mode & 0o777 == mode & ~mask


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    write(FILES, tmp_path, replace=False)
    before = (tmp_path / "docs/b.md").stat()
    (tmp_path / "config/a.yml").unlink()
    assert write(FILES, tmp_path, replace=False) == 1
    assert content(tmp_path) == FILES
    assert (tmp_path / "docs/b.md").stat() == before
    assert write(FILES, tmp_path, replace=False) == 0


def test_what_differs_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b.md").write_text("mine")
    said = r"1 of the files there would change: docs/b\.md; nothing was written; .* --force to replace"
    with pytest.raises(AssetsFault, match=said):
        write(FILES, tmp_path, replace=False)
    assert content(tmp_path) == {"docs/b.md": b"mine"}


def test_it_is_replaced_when_told_to_and_what_else_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/a.yml").write_text("mine")
    (tmp_path / "config/site.yml").write_text("mine")
    assert write(FILES, tmp_path, replace=True) == 2
    assert content(tmp_path) == FILES | {"config/site.yml": b"mine"}


@pytest.mark.parametrize("there", [True, False])
def test_when_one_file_cannot_be_written_none_is(there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "dir"
    if there:
        write(FILES, folder, replace=False)
    before = content(tmp_path)
    said = r"dir: cannot be written: File too large"
    with limited(resource.RLIMIT_FSIZE, 100), pytest.raises(AssetsFault, match=said):  # as on a full disk
        write(FILES | {"config/a.yml": b"a: 2\n", "docs/c.md": b"c" * 1000}, folder, replace=True)
    assert content(tmp_path) == before
    assert folder.exists() is there


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("dir/config", "dir/config/a.yml: cannot be written: Not a directory"),
        ("dir", "dir: is no folder; give the name of one"),
    ],
)
def test_a_file_where_a_folder_has_to_be_is_named(file: str, said: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(AssetsFault, match=re.escape(f"{tmp_path}/{said}")):
        write(FILES, tmp_path / "dir", replace=True)
    assert content(tmp_path) == {file: b"mine"}


def test_a_name_that_no_folder_can_have_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 300)
    with pytest.raises(AssetsFault, match=f"{folder}: cannot be written: File name too long"):
        write(FILES, folder, replace=False)
    assert content(tmp_path) == {}


def test_a_folder_where_a_file_has_to_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs/b.md").mkdir(parents=True)
    with pytest.raises(AssetsFault, match=r"docs/b\.md: cannot be written: Is a directory"):
        write(FILES, tmp_path, replace=True)


def test_others_may_enter_a_folder_only_through_those_above_it() -> None:
    """By their bits: root, for whom no folder is closed, is told as well."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # open to all, as pytest's folders are not
        home, folder = Path(name), Path(name) / "dir"
        folder.mkdir()
        home.chmod(0o755)
        folder.chmod(0o755)
        assert closed_to_others(folder) is None
        folder.chmod(0o750)
        assert closed_to_others(folder) == folder
        home.chmod(0o700)
        assert closed_to_others(folder) == home
