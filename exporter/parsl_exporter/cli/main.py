"""The command line: arguments in, exit status out."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from parsl_exporter.base import logs
from parsl_exporter.base.errors import ConfigurationError, ExporterError, ReaderGone, UsageError
from parsl_exporter.base.formats import Format
from parsl_exporter.base.output import write_out
from parsl_exporter.base.process import suit_process
from parsl_exporter.base.redaction import hide_passwords
from parsl_exporter.base.release import VERSION
from parsl_exporter.base.signals import Signals
from parsl_exporter.config.load import Overrides, Settings, load
from parsl_exporter.config.settings import SourceSettings
from parsl_exporter.readers.targets import discover, distinct

OK, FAULT, USAGE = 0, 1, 2
_COMMANDS = ("serve", "check", "dump", "status", "demo")
_RESERVED = "backfill"
_WITHOUT_VALUE = ("--help", "--version", "--watch", "--with-prometheus")
_ALIKE = 0.75
_DATABASE = "a database file, a runinfo folder, a glob, or a SQLAlchemy URL"

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None, signals: Signals | None = None) -> int:
    """Run the command that `argv` (default: the process's) names and give its exit status.

    `signals` holds what has come since the process began; without it they are noted once it serves.

    0: done, or served until SIGTERM or SIGINT; 1: a fault, named on standard error; 2: wrong usage.
    """
    arguments = _command_first(list(sys.argv[1:] if argv is None else argv))
    try:
        return _run(arguments, signals)
    except ReaderGone:
        return FAULT
    except ExporterError as error:
        for fault in error.faults if isinstance(error, ConfigurationError) else [error]:
            _tell(fault)
        return USAGE if isinstance(error, UsageError) else FAULT


def _tell(fault: object) -> None:
    print(f"parsl-exporter: {fault}", file=sys.stderr)


def _command_first(arguments: list[str]) -> list[str]:
    """The arguments with their command, `serve` where there is none, before its flags."""
    if not arguments or arguments[0] in ("-h", "--help", "--version"):
        return arguments or ["serve"]
    first = 0
    while first < len(arguments) and arguments[first].startswith("--") and arguments[first] != "--":
        first += 1 if "=" in arguments[first] or arguments[first] in _WITHOUT_VALUE else 2
    if first < len(arguments) and arguments[first] in _COMMANDS:
        return [arguments[first], *arguments[:first], *arguments[first + 1 :]]
    return ["serve", *arguments]


def _run(arguments: Sequence[str], signals: Signals | None) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:
        write_out("")
        return stop.code if isinstance(stop.code, int) else USAGE
    suit_process()
    status: int = options.run(options, signals)
    return status


class _Parser(argparse.ArgumentParser):
    """One that shows no passwords, and its version whatever the command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"parsl-exporter {VERSION}")

    def error(self, message: str) -> NoReturn:
        """End with how it goes."""
        super().error(hide_passwords(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="parsl-exporter",
        description="Publishes Parsl's monitoring databases for Prometheus.",
        epilog="Without a command it serves: parsl-exporter [DATABASE ...] is parsl-exporter serve [DATABASE ...].",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="serve metrics over HTTP until SIGTERM or SIGINT")
    _add_databases(serve)
    _add_config_file(serve)
    serve.add_argument("--web.listen-address", dest="listen_address", action="append", default=[], metavar="ADDRESS",
                       help="host:port to listen on; may be given again (default 127.0.0.1:9678)")  # fmt: skip
    serve.add_argument("--web.telemetry-path", dest="telemetry_path", metavar="PATH", help="default /metrics")
    _add_web_config_file(serve)
    serve.add_argument("--poll.interval", dest="poll_interval", metavar="DURATION",
                       help="how often the databases are looked at, such as 250ms or 15s (default 1s)")  # fmt: skip
    serve.add_argument("--shard", metavar="I/N",
                       help="read the I-th of N parts of a server's runs and of the files, such as 1/3")  # fmt: skip
    serve.add_argument("--log.level", dest="log_level", choices=list(logs.LEVELS), default="info",
                       help="the least of what is logged (default info)")  # fmt: skip
    serve.add_argument("--log.format", dest="log_format", choices=["logfmt", "json"], default="logfmt",
                       help="how a line of the log is written (default logfmt)")  # fmt: skip
    serve.set_defaults(run=_serve)

    checking = commands.add_parser("check", help="check the configuration and each database, and report")
    _add_databases(checking)
    _add_config_file(checking)
    _add_web_config_file(checking)
    checking.set_defaults(run=_check)

    dumping = commands.add_parser("dump", help="read a database whole and write its metrics once")
    dumping.add_argument("database", metavar="DATABASE", type=_database, help=_DATABASE)
    _add_config_file(dumping)
    dumping.add_argument(
        "--output", type=_file, metavar="FILE", help="replace FILE atomically (default: standard output)"
    )
    dumping.add_argument("--format", choices=["text", "openmetrics"], default="text", help="default text")
    dumping.add_argument("--run", dest="runs", action="append", default=[], metavar="ID", type=_run_id,
                         help="this run alone, by its run_id; may be given again (default: all)")  # fmt: skip
    dumping.set_defaults(run=_dump)

    status = commands.add_parser(
        "status", help="say what the runs do and what holds them up, without a Prometheus"
    )
    _add_databases(status)
    _add_config_file(status)
    status.add_argument("--watch", action="store_true", help="until Ctrl-C, on a terminal in place")
    status.add_argument("--run", dest="runs", action="append", default=[], metavar="ID", type=_run_id,
                        help="this run, by how its run_id begins; may be given again (default: those that live and"
                             " the newest)")  # fmt: skip
    status.add_argument("--format", choices=["text", "json"], default="text", help="default text")
    status.set_defaults(run=_status)

    demo = commands.add_parser("demo", help="run a real Parsl workflow and an exporter on it, until Ctrl-C")
    demo.add_argument("--duration", metavar="DURATION", help="end by itself after so long, such as 60s")
    demo.add_argument("--web.listen-address", dest="listen_address", metavar="ADDRESS",
                      help="default 127.0.0.1:9678, or any free port where that is taken")  # fmt: skip
    demo.add_argument(
        "--with-prometheus", action="store_true", help="with Prometheus and Alertmanager, where installed"
    )
    demo.set_defaults(run=_demo)
    return parser


def _add_databases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "databases",
        nargs="*",
        type=_database,
        metavar="DATABASE",
        help=f"{_DATABASE}; replaces the configured sources (default runinfo/monitoring.db)",
    )


def _add_config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file", dest="config_file", type=_file, metavar="FILE", help="YAML configuration"
    )


def _add_web_config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--web.config.file", dest="web_config_file", metavar="FILE",
                        help="TLS and basic authentication, as Prometheus' exporter-toolkit has them")  # fmt: skip


def _let_signals_end(signals: Signals | None) -> None:
    """Have signals end the process, at once where one has come."""
    for one in signals.release() if signals is not None else ():
        signal.raise_signal(one)


def _database(text: str) -> str:
    """A DATABASE, but for what is likelier to be a command: a daemon would wait for such a folder for ever."""
    alike = difflib.get_close_matches(text, (*_COMMANDS, _RESERVED), 1, _ALIKE)
    if not alike or not text.isalpha() or os.path.lexists(text):
        return text
    command = f"for the command write {alike[0]} first"
    if alike[0] == _RESERVED:
        command = f"the command {_RESERVED} is not in this version"
    raise argparse.ArgumentTypeError(f"there is no {text}; {command}, for a folder that is to come ./{text}")


def _file(text: str) -> Path:
    if not text:  # a path would take it for the working folder
        raise argparse.ArgumentTypeError("is empty; give the name of a file")
    return Path(os.path.expanduser(text))  # noqa: PTH111  # no shell does in --config.file=~/exporter.yml


def _run_id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty; give the run_id of a run")
    return text


def _settings(options: argparse.Namespace) -> Settings:
    return load(
        options.config_file,
        Overrides(
            databases=tuple(options.databases),
            listen_address=tuple(getattr(options, "listen_address", ())),
            telemetry_path=getattr(options, "telemetry_path", None),
            web_config_file=getattr(options, "web_config_file", None),
            poll_interval=getattr(options, "poll_interval", None),
            shard=getattr(options, "shard", None),
        ),
    )


def _serve(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.daemon.daemon import Daemon
    from parsl_exporter.web.server import Server

    logs.configure(options.log_level, options.log_format, sys.stderr)
    settings = _settings(options)
    signals = signals or Signals()
    daemon = Daemon(settings)
    server = Server(
        daemon,
        addresses=settings.web.listen_address,
        telemetry_path=settings.web.telemetry_path,
        version=VERSION,
        config_file=_web_config_file(settings),
    )
    for url in server.start():
        logs.event(_log, logging.INFO, "listening", url=url, version=VERSION)
    daemon.start()
    while (received := signals.wait()) == {signal.SIGHUP}:
        try:
            daemon.reload(lambda: _settings(options))
        except ConfigurationError as error:
            for fault in error.faults:
                logs.event(_log, logging.ERROR, "configuration not taken; the old one stays", fault=fault)
        else:
            logs.event(_log, logging.INFO, "configuration read again")
    logs.event(_log, logging.INFO, "ending", signal=max(received - {signal.SIGHUP}).name)
    server.stop()
    daemon.stop()
    return OK


def _check(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.check import check
    from parsl_exporter.source.clock import Clock
    from parsl_exporter.web.configuration import read_web_configuration

    _let_signals_end(signals)
    settings = _settings(options)
    web_config_file = _web_config_file(settings)
    if web_config_file is not None:
        read_web_configuration(web_config_file)
    return FAULT if check(settings, write_out, Clock()) else OK


def _web_config_file(settings: Settings) -> Path | None:
    return None if settings.web.config_file is None else Path(settings.web.config_file)


def _dump(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.dump import dump, writable, write
    from parsl_exporter.readers.opening import open_reader
    from parsl_exporter.source.clock import Clock
    from parsl_exporter.source.options import options_of

    _let_signals_end(signals)
    output = None if options.output is None else writable(options.output)
    options.databases = [options.database]
    settings = _settings(options)
    found, _ = distinct(one for source in settings.sources for one in discover(source))
    if len(found) != 1:
        matches = ", ".join(one.name for one in found[:5]) or "nothing"
        raise ConfigurationError([f"{options.database}: dump takes one database, this matches {matches}"])
    source = _configured(options, found[0].shown) or found[0].settings
    page = dump(
        open_reader(found[0]),
        options_of(settings, source, source.name or found[0].name)._replace(only=frozenset(options.runs)),
        Format.OPENMETRICS if options.format == "openmetrics" else Format.TEXT,
        clock=Clock(),
    )
    if output is None:
        write_out(page)
    else:
        write(page, output)
    return OK


def _configured(options: argparse.Namespace, name: str) -> SourceSettings | None:
    """The file's own settings of the database that is dumped, when it is one of the configured sources."""
    if options.config_file is None:
        return None
    for source in load(options.config_file, Overrides()).sources:
        if any(found.shown == name for found in discover(source)):
            return source
    return None


def _status(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.status import once, watch
    from parsl_exporter.source.clock import Clock

    settings = _settings(options)
    as_json = options.format == "json"
    if options.watch:
        return watch(settings, options.runs, as_json=as_json, signals=signals or Signals())
    _let_signals_end(signals)
    return once(settings, options.runs, as_json=as_json, fault=_tell, clock=Clock())


def _demo(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.demo import demo

    if signals is not None and signals.release():
        return OK
    return demo(options.listen_address, options.duration, with_prometheus=options.with_prometheus)
