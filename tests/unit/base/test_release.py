"""What the exporter says of its own version and revision, by what was installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.exporter_process import ROOT, environment

import parsl_exporter
from parsl_exporter.base.formats import Format
from parsl_exporter.base.release import VERSION
from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.daemon import Daemon

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def told(folder: Path, direct_url: str | None, **changes: str) -> list[str]:
    """Version and revision of the exporter that is installed in this folder."""
    record = folder / "parsl_exporter-9.8.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: parsl-exporter\nVersion: 9.8\n")
    if direct_url is not None:
        (record / "direct_url.json").write_text(direct_url)
    done = subprocess.run(
        [sys.executable, "-c", "from parsl_exporter.base.release import *; print(VERSION, REVISION)"],
        env=environment(PYTHONPATH=f"{folder}:{ROOT / 'exporter'}", **changes),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_what_pip_took_from_a_repository_bears_its_commit(tmp_path: Path) -> None:
    record = {"url": "https://h/r.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    assert told(tmp_path, json.dumps(record)) == ["9.8", COMMIT]


@pytest.mark.parametrize("record", [None, '{"url": "file:///r", "dir_info": {}}', "[]", "{"])
def test_what_was_installed_from_elsewhere_has_an_unknown_one(record: str | None, tmp_path: Path) -> None:
    assert told(tmp_path, record) == ["9.8", "unknown"]


def test_an_image_is_told_its_commit(tmp_path: Path) -> None:
    assert told(tmp_path, None, PARSL_EXPORTER_REVISION=COMMIT) == ["9.8", COMMIT]


def test_the_page_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsl_exporter.daemon.daemon.REVISION", COMMIT)
    names = frozenset({"parsl_exporter_build_info"})
    page = Daemon(Settings()).page(Format.TEXT, names=names, gzipped=False).decode()
    assert f'revision="{COMMIT}"' in page
    assert f'version="{VERSION}"' in page


def test_the_package_tells_its_version_where_python_programs_look_for_it() -> None:
    assert parsl_exporter.__version__ == VERSION
    with pytest.raises(AttributeError, match="nothing"):
        _ = parsl_exporter.nothing  # type: ignore[attr-defined]  # as whoever uses it is told
