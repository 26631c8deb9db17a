"""The audit of dependencies: what it says, and that no silence of PyPI's passes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.exporter_process import ROOT

UNASKED = "NOT AUDITED: lock.txt. PyPI's advisories"


def audited(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """The script with a program that takes what pip-audit takes, and answers so."""
    program = folder / "pip-audit"
    program.write_text(f'#!/bin/sh\n[ "$1" = --strict ] || exit 0\n{answer}\n')
    program.chmod(0o755)
    return subprocess.run(
        [ROOT / ".ci" / "audit", program, "lock.txt", "other.txt"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_passes_what_has_no_vulnerability(tmp_path: Path) -> None:
    done = audited(tmp_path, "echo 'WARNING:x'; echo 'No known vulnerabilities found'")
    assert done.returncode == 0
    assert done.stdout == "".join(
        f"Auditing {name}.txt\nNo known vulnerabilities found\n" for name in ("lock", "other")
    )


def test_it_fails_with_a_vulnerability(tmp_path: Path) -> None:
    done = audited(tmp_path, "echo 'Found 1 known vulnerability in 1 package'; exit 1")
    assert done.returncode == 1
    assert "Found 1 known vulnerability" in done.stderr
    assert UNASKED not in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        "echo 'ERROR:pip_audit._cli:rich: Dependency not found on PyPI and could not be audited: rich (1)' >&2; exit 1",
        "echo 'ConnectionError: no way there' >&2; exit 1",
        "exit 127",
    ],
)
def test_it_fails_without_an_answer_and_says_that_nothing_is_known(tmp_path: Path, answer: str) -> None:
    done = audited(tmp_path, answer)
    assert done.returncode == 1
    assert UNASKED in done.stderr
