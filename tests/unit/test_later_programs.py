""".ci/programs where it cannot bring any: it says so, and only CI takes it for a failure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bring(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/bash", str(ROOT / ".ci/programs"), str(folder), "forky", "promtool:promtool"]
    changed = {name: value for name, value in os.environ.items() if name != "CI"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=changed, check=False, timeout=60)


def test_without_apt_it_says_so_and_tests_are_skipped(tmp_path: Path) -> None:
    done = bring(tmp_path / "programs", PATH=str(tmp_path))
    assert done.returncode == 0
    assert (
        done.stderr
        == "Without Debian forky's programs, and what needs them is left out: there is no apt-get here\n"
    )


def test_in_ci_it_is_a_failure(tmp_path: Path) -> None:
    assert bring(tmp_path / "programs", PATH=str(tmp_path), CI="true").returncode == 1


@pytest.mark.parametrize("wanted", ["forky promtool:promtool\n", "forky other:other\n"])
def test_what_is_there_is_not_brought_again(tmp_path: Path, wanted: str) -> None:
    (tmp_path / ".complete").write_text(wanted)
    done = bring(tmp_path, PATH=str(tmp_path), CI="true")
    assert bool(done.returncode) is ("other" in wanted)


def test_no_host_is_named() -> None:
    """The mirror is the one that this machine's apt has."""
    assert "://" not in (ROOT / ".ci/programs").read_text()
