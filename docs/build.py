"""Write the generated pages of the documentation and what shells complete with, or check that they are up to date.

python -m docs.build [--check]
"""

from __future__ import annotations

import gzip
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from docs import completions, manual
from docs.generated import ROOT, write_or_check

from parsl_exporter.assets.completions import FILES
from parsl_exporter.base.formats import Format
from parsl_exporter.base.tables import TABLES
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.config.settings import reference as settings
from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.metrics.family import Family, draw_all
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.snapshot import Rendered, Snapshot
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, ProcessFacts, SourceFacts
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import options_of
from parsl_exporter.source.source import read_once

FOLDER = Path(__file__).parent
RUNS = ROOT / "tests" / "data"
MANUAL = FOLDER / "parsl-exporter.1"

_CONFIGURATION = """\
# Configuration

Generated from `parsl_exporter.config.settings` by `make docs`; do not edit.

A YAML file, given with `--config.file`; [config/exporter.yml](../config/exporter.yml) is an example with every key
explained. All keys are optional, unknown ones are errors, flags win. `parsl-exporter check --config.file FILE` names
every fault of a file. On SIGHUP a running exporter reads its file again, and keeps what it has when that is faulty.

"""

_METRICS = """\
# Metrics

Generated from `parsl_exporter.metrics`, `docs/promql.toml` and runs in `tests/data` by `make docs`; do not edit.

Of each family: what it means, a sample of it, and something to ask Prometheus. The samples are of a run that was
killed, a second after its last row; what it has nothing of is of others. `source` is left out, and `run_id` cut.
Of a histogram one of its buckets is shown. [Why nothing moves](causes.md#why-nothing-moves) explains the values of
`cause`, [when a source is down](causes.md#when-a-source-is-down) those of `reason`.
"""

_GROUPS = {
    "parsl_workflow_": "Runs",
    "parsl_task": "Tasks",
    "parsl_node_": "Hosts",
    "parsl_manager_": "Managers",
    "parsl_block": "Blocks",
    "parsl_exporter_": "The exporter itself",
}
"""How names of families begin, and under which heading they are."""

_WATCHED = {
    "crash-2026.10.26": 1795334216.55,
    "std-2026.10.26": 1795335000.0,
    "managerlost-2026.10.26": 1795335000.0,
}
"""Databases of real runs, and when each is read, in UTC epoch seconds."""
_SOURCE = "runinfo/monitoring.db"
_EXPORTER = SourceFacts(
    dialect="sqlite",
    database="/scratch/alice/runinfo/monitoring.db",
    up=True,
    ready=True,
    last_success=1795334215.9,
    poll_duration=0.0042,
    longest_read=0.0011,
    rows_read={table.name: 100 + i for i, table in enumerate(TABLES)},
    backlog={"status": 12},
    errors={"locked": 1},
    rejected={("resource", "timestamp"): 1},
    late={"resource": 2},
    series=402,
    overflowed=3,
)
_PROCESS = ProcessFacts(
    "0.1.0", "d1554e5", "3.11.7", reload_successful=True, reload_success_time=1795334180.4
)
"""What an exporter would say of itself beside such a run: what it takes in truth is never twice the same."""


def pages() -> dict[Path, str]:
    """What is generated, by file."""
    return {
        FOLDER / "metrics.md": metrics(),
        FOLDER / "configuration.md": _CONFIGURATION + settings(),
        MANUAL: _manual(MANUAL.read_text() if MANUAL.is_file() else ""),
        **{
            ROOT / "config" / "completions" / name: completions.completion(shell)
            for shell, name in FILES.items()
        },
    }


def _manual(there: str) -> str:
    """The manual page, of today where it has changed."""
    same = manual.date_of(there)
    if same is not None and manual.page(same) == there:
        return there
    return manual.page(f"{date.today():%Y-%m-%d}")


def questions() -> dict[str, dict[str, str]]:
    """For each family something that users ask of it: `question`, and `expr`, which answers it."""
    found: dict[str, dict[str, str]] = tomllib.loads((FOLDER / "promql.toml").read_text(encoding="utf-8"))
    return found


def metrics() -> str:
    """The metrics reference."""
    itself = Page(
        [Snapshot(_SOURCE, (), _EXPORTER, None)], Rendered((), draw_all(PROCESS_FAMILIES, _PROCESS), None)
    )
    texts = [_exposition(name, now) for name, now in _WATCHED.items()]
    own = itself.body(Format.TEXT).decode()
    asked = questions()
    parts = [_METRICS]
    for group, families in groupby(FAMILIES, _group):
        parts.append(f"## {group}\n")
        for family in families:
            sample = _sample(family, [own] if group == _GROUPS["parsl_exporter_"] else texts)
            parts.append(_section(family, sample, **asked[family.name]))
    return "\n".join(parts)


def _group(family: Family[Any]) -> str:
    return next(group for begin, group in _GROUPS.items() if family.name.startswith(begin))


def _section(family: Family[Any], sample: str, question: str, expr: str) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
    return (
        f"### `{family.name}`\n\n{family.help}\n\nA {family.kind}; labels: {labels}.\n\n"
        f"```text\n{sample}\n```\n\n{question}:\n\n```promql\n{expr}\n```\n"
    )


def _exposition(name: str, now: float) -> str:
    """What is published of a database at a moment, whole."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "monitoring.db"
        database.write_bytes(gzip.decompress((RUNS / f"{name}.db.gz").read_bytes()))
        options = options_of(Settings(timezone="UTC"), SourceSettings(str(database)), _SOURCE)
        clock = Clock(wall=lambda: now, steady=lambda: 0.0)
        _, published = read_once(SqliteReader(database), options._replace(whole=True), clock)
    return Page([published.snapshot]).body(Format.TEXT).decode()


def _sample(family: Family[Any], texts: list[str]) -> str:
    """The greatest sample, out of the first page that has one other than 0, and what belongs to it."""
    greatest = [max(lines, key=_value) for text in texts if (lines := list(_lines(family, text)))]
    one = next(filter(_value, greatest), greatest[0])
    text = next(text for text in texts if one in text)
    labels = one.partition("{")[2].partition("}")[0]
    chosen = [one]
    if family.kind == "summary":
        begin = f"{family.name}{{{labels.partition(',quantile=')[0]},quantile="
        chosen = [line for line in text.splitlines() if line.startswith(begin)]
    elif family.kind == "histogram":
        buckets = _lines(family, text, f"_bucket{{{labels},")
        half = next(line for line in buckets if _value(line) >= _value(one) / 2)
        chosen = [half, *_lines(family, text, f"_sum{{{labels}}}"), one]
    return "\n".join(map(_shortened, chosen))


def _lines(family: Family[Any], text: str, rest: str = "") -> Iterator[str]:
    """Samples of a family, whose names go on so: of a histogram else its counts."""
    rest = rest or ("_count" if family.kind == "histogram" else "")
    begins = (f"{family.name}{rest}",) if "{" in rest else (f"{family.name}{rest}{{", f"{family.name}{rest} ")
    return (line for line in text.splitlines() if line.startswith(begins))


def _value(line: str) -> float:
    return float(line.rpartition(" ")[2])


def _shortened(line: str) -> str:
    line = re.sub(r'source="[^"]*",?', "", line)
    return re.sub(r'run_id="([0-9a-f]{8})[^"]*"', r'run_id="\1…"', line).replace("{}", "")


def main(arguments: list[str]) -> int:
    """Write, or with `--check` give 1 when a page is not up to date."""
    return write_or_check(pages(), arguments, "make docs")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
