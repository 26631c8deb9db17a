"""`status`: what the runs do and what holds them up, on a terminal, in a pipe or as JSON; once or until Ctrl-C.

terminal  the runs as lines and tables
document  the runs as JSON
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from parsl_exporter.base.errors import NoSuchRun, SourceFault
from parsl_exporter.base.output import write_out
from parsl_exporter.base.shard import WHOLE
from parsl_exporter.base.signals import Signals
from parsl_exporter.cli.databases import databases
from parsl_exporter.cli.status.document import document
from parsl_exporter.cli.status.terminal import NEWEST, News, Screen, board, news, source, titled
from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.model.report import SourceReport
from parsl_exporter.readers.opening import open_reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import NO_LIMIT, SourceOptions, options_of
from parsl_exporter.source.source import read_once

_REFRESH = 1.0
_PLAIN_EVERY = 5.0


def once(
    settings: Settings, runs: Sequence[str], *, as_json: bool, fault: Callable[[str], object], clock: Clock
) -> int:
    """Write what the runs do now, those whose ids begin as one of `runs` or the live and newest; give the exit status.

    It is 1 when a database cannot be read: that is told to `fault`, and the others are shown. A locked one is waited
    for, for 10 s.

    Raises NoSuchRun when no database has a run that is asked for, ConfigurationError when there is none to read.
    """
    _log_nothing()
    reports: list[SourceReport] = []
    status = 0
    screen = Screen()
    for report in read(settings, runs, clock):
        reports.append(report)
        if report.state == "down":
            status = 1
            fault("".join(titled(report)))
        elif not as_json and (report.runs or not runs):
            write_out(screen.text(source(report, details=bool(runs))))
    if as_json:
        write_out(json.dumps(document(reports), indent=2) + "\n")
    seen = [run.run_id for report in reports for run in report.runs]
    if not status and (missing := [one for one in runs if not any(run.startswith(one) for run in seen)]):
        raise NoSuchRun(f"there is no run whose id begins with {', '.join(missing)}")
    return status


def watch(settings: Settings, runs: Sequence[str], *, as_json: bool, signals: Signals) -> int:
    """Show what the runs do, again and again, until a signal comes; gives 0.

    On a terminal in place. Elsewhere a line for each run, or as JSON a document, follows when there are news, every
    few seconds at most.
    """
    daemon = watcher(settings, runs)
    daemon.start()
    screen = Screen()
    try:
        if screen.live and not as_json:
            with screen.shown(lambda: board(daemon.reports(), details=bool(runs))) as refresh:
                while not signals.wait(_REFRESH):
                    refresh()
        else:
            said: dict[str, News] = {}
            while not signals.wait(_PLAIN_EVERY if said else _REFRESH):
                reports = daemon.reports()
                now = _json_news(reports) if as_json else news(reports)
                new = [one for key, one in now.items() if key not in said or said[key].told != one.told]
                write_out("".join(f"{one.line}\n" for one in new))
                said |= now
    finally:
        daemon.stop()
    return 0


def read(settings: Settings, runs: Sequence[str], clock: Clock) -> Iterator[SourceReport]:
    """Read one database after the other; give how each is now. Raises ConfigurationError when there is none."""
    for found in databases(settings):
        options = chosen(runs)(options_of(settings, found.settings, found.name))
        try:
            _, published = read_once(open_reader(found), options, clock)
        except SourceFault as error:
            yield SourceReport(found.name, "down", str(error), 0, clock.wall(), (), 0)
        else:
            yield published.report(found.name, clock.wall())


def _json_news(reports: Sequence[SourceReport]) -> dict[str, News]:
    text = json.dumps(document(reports))
    return {"": News(text, text)}


def watcher(settings: Settings, runs: Sequence[str] = ()) -> Daemon:
    """Make a daemon that reads what `status` shows, and keeps a run until the end. It logs nothing."""
    _log_nothing()
    limits = replace(settings.limits, series=NO_LIMIT, runs_per_source=NO_LIMIT)
    return Daemon(replace(settings, limits=limits, shard=WHOLE), read_as=chosen(runs))


def chosen(runs: Sequence[str]) -> Callable[[SourceOptions], SourceOptions]:
    """Give what makes options those of reading the runs whose ids begin so or, without any, the live and newest."""
    return partial(_reading, tuple(runs))


def _reading(runs: tuple[str, ...], options: SourceOptions) -> SourceOptions:
    newest = None if runs else NEWEST
    return options._replace(whole=True, beginnings=runs, newest=newest, runs=NO_LIMIT)


def _log_nothing() -> None:
    """What is worth knowing stands in what is shown, and `check` says the rest."""
    logging.getLogger("parsl_exporter").addHandler(logging.NullHandler())
