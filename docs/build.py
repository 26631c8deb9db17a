"""Write the generated pages of the documentation, or check that they are up to date.

python docs/build.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from parsl_exporter.config.settings import reference as settings
from parsl_exporter.metrics.families import reference as metrics

FOLDER = Path(__file__).parent

_CONFIGURATION = """\
# Configuration

Generated from `parsl_exporter.config.settings` by `make docs`; do not edit.

A YAML file, given with `--config.file`; [config/exporter.yml](../config/exporter.yml) is an example with every key
explained. All keys are optional, unknown ones are errors, flags win. `parsl-exporter check --config.file FILE` names
every fault of a file. On SIGHUP a running exporter reads its file again, and keeps what it has when that is faulty.

"""


def pages() -> dict[str, str]:
    """The generated pages, by file name."""
    return {"metrics.md": metrics(), "configuration.md": _CONFIGURATION + settings()}


def main(arguments: list[str]) -> int:
    """Write, or with `--check` give 1 when a page is not up to date."""
    stale = 0
    for name, text in pages().items():
        page = FOLDER / name
        if arguments != ["--check"]:
            page.write_text(text, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale = 1
            print(f"docs/{name} is not up to date: run make docs", file=sys.stderr)
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
