"""Files that are generated: written anew, or held against what is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write_or_check(files: Mapping[Path, str], arguments: list[str], command: str) -> int:
    """Write these texts, or with `--check` give 1 when a file is not up to date: `command` writes it."""
    stale = 0
    for file, text in files.items():
        if arguments != ["--check"]:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            stale = 1
            print(f"{file.relative_to(ROOT)} is not up to date: run {command}", file=sys.stderr)
    return stale
