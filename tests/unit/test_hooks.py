"""What git asks before a commit: the same as `make lint`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def asked_by_make() -> list[str]:
    """The commands of `make lint`, but for those that see to it that their programs are there."""
    ready = ["--old-file=.venv/.installed", "--old-file=pyproject.toml"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "--no-print-directory", *ready, "lint"]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith((".venv/bin/", ".ci/if-there "))]


def test_each_hook_asks_what_one_command_of_lint_asks_and_none_is_left_out() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    asked = asked_by_make()
    assert len(asked) == len(repo["hooks"])
    for hook, command in zip(repo["hooks"], asked, strict=True):
        entry = hook["entry"]
        assert command == entry if hook.get("pass_filenames") is False else command.startswith(f"{entry} ")


def test_a_check_without_its_program_is_left_out_and_in_ci_a_failure() -> None:
    command = ["/bin/bash", str(ROOT / ".ci/if-there"), "no-such-program", "check"]
    for ci, code in (("", 0), ("true", 1)):
        done = subprocess.run(command, env={"CI": ci}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (
            code,
            "Left out, as there is no no-such-program here: no-such-program check\n",
        )
