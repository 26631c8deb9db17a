"""How the runs of a workflow fare, for a notebook: what `parsl-exporter status` says, as text and as HTML."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from parsl_exporter.base.errors import NoSuchRun
from parsl_exporter.cli.status import read
from parsl_exporter.cli.status.document import document
from parsl_exporter.cli.status.terminal import UNBOUNDED, board
from parsl_exporter.config.load import Overrides, load
from parsl_exporter.model.report import SourceReport
from parsl_exporter.source.clock import Clock
from parsl_exporter.workflow.database import Database, target_of

_WIDTH = 110
"""Columns of the table in a notebook."""
_HTML = (
    '<pre style="overflow-x: auto; white-space: pre; line-height: 1.3; font-family: monospace">{code}</pre>'
)
# To be read on white and on black: notebooks have either.
_COLOURS = [(128, 128, 128), (218, 54, 51), (46, 148, 74), (176, 120, 0)] + 4 * [(128, 128, 128)]
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), _COLOURS)


class Status:
    """The runs of a database as they were when they were asked for; a notebook shows it as a table."""

    def __init__(self, reports: Sequence[SourceReport], *, details: bool = False) -> None:
        self._reports = tuple(reports)
        self._board = board(self._reports, details=details)

    def __str__(self) -> str:
        """The table as plain text, as wide as the terminal; without one a run is one line."""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED
        with (console := _console(width, color_system=None)).capture() as captured:
            console.print(self._board)
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        console = _console(_WIDTH, record=True)
        console.print(self._board)
        return console.export_html(theme=_THEME, code_format=_HTML, inline_styles=True)

    def as_dict(self) -> dict[str, Any]:
        """The same as values, as `parsl-exporter status --format json` writes them."""
        return document(self._reports)


def status(config: Database, *, run: str | None = None) -> Status:
    """Read what the runs of a Parsl Config, or of a DATABASE, do now; of `run`, by how its run_id begins, all there is.

    A database that cannot be read is shown as such; a locked one is waited for, for 10 s. Raises ConfigurationError
    when there is none to read, NoSuchRun when it has no such run.
    """
    runs = () if run is None else (run,)
    # Without it what is logged would go to standard error, where nobody has set up logging.
    quiet = logging.NullHandler()
    logger = logging.getLogger("parsl_exporter")
    logger.addHandler(quiet)
    try:
        reports = list(read(load(None, Overrides((target_of(config),))), runs, Clock()))
    finally:
        logger.removeHandler(quiet)
    if runs and not any(report.runs or report.state == "down" for report in reports):
        raise NoSuchRun(f"there is no run whose id begins with {run}")
    return Status(reports, details=bool(runs))


def _console(width: int, **options: Any) -> Console:
    """One that is no terminal and no notebook, whatever this process has."""
    return Console(file=StringIO(), width=width, force_terminal=False, force_jupyter=False, highlight=False,
                   markup=False, emoji=False, **options)  # fmt: skip
