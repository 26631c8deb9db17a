"""The command line: arguments in, exit status out."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from parsl_exporter.base import logs
from parsl_exporter.base.errors import ConfigurationError, ExporterError, ReaderGone, UsageError
from parsl_exporter.base.formats import Format
from parsl_exporter.base.output import write_out
from parsl_exporter.base.process import suit_process
from parsl_exporter.base.release import VERSION
from parsl_exporter.base.signals import Signals
from parsl_exporter.cli.parser import parse
from parsl_exporter.config.load import Overrides, Settings, load
from parsl_exporter.readers.targets import configured, discover, distinct

OK, FAULT, USAGE = 0, 1, 2
_STATUS_EVERY = 5.0

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None, signals: Signals | None = None) -> int:
    """Run the command that `argv` (default: the process's) names and give its exit status.

    `signals` holds what has come since the process began; without it they are noted once it serves.

    0: done, or served until SIGTERM or SIGINT; 1: a fault, named on standard error; 2: wrong usage.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), signals)
    except ReaderGone:
        return FAULT
    except ExporterError as error:
        for fault in error.faults if isinstance(error, ConfigurationError) else [error]:
            _tell(fault)
        return USAGE if isinstance(error, UsageError) else FAULT


def _tell(fault: object) -> None:
    print(f"parsl-exporter: {fault}", file=sys.stderr)


def _run(arguments: list[str], signals: Signals | None) -> int:
    try:
        options = parse(arguments)
    except SystemExit as stop:
        write_out("")
        return stop.code if isinstance(stop.code, int) else USAGE
    suit_process()
    return _RUN[options.command](options, signals)


def _let_signals_end(signals: Signals | None) -> None:
    """Have signals end the process, at once where one has come."""
    for one in signals.release() if signals is not None else ():
        signal.raise_signal(one)


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
            state_directory=getattr(options, "state_directory", None),
        ),
    )


def _serve(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.base.notify import Notifier
    from parsl_exporter.daemon.daemon import Daemon
    from parsl_exporter.web.listen import passed_on
    from parsl_exporter.web.server import Server

    logs.configure(options.log_level, options.log_format, sys.stderr)
    settings = _settings(options)
    signals = signals or Signals()
    manager = Notifier(os.environ)
    daemon = Daemon(settings, state_directory=_state_directory(settings))
    server = Server(
        daemon,
        addresses=settings.web.listen_address,
        telemetry_path=settings.web.telemetry_path,
        version=VERSION,
        config_file=_web_config_file(settings),
        listeners=passed_on(os.environ) if options.systemd_socket else None,
    )
    for url in server.start():
        logs.event(_log, logging.INFO, "listening", url=url, version=VERSION)
    daemon.start()
    if manager.watchdog is not None:
        faulthandler.enable()  # a watchdog ends what hangs by SIGABRT: then say where each thread was
        server.every(manager.watchdog / 2, manager.alive)
    manager.ready(daemon.summary())
    while (received := signals.wait(_STATUS_EVERY if manager.there else None)) <= {signal.SIGHUP}:
        if not received:
            manager.status(daemon.summary())
            continue
        manager.reloading()
        try:
            daemon.reload(lambda: _settings(options))
        except ConfigurationError as error:
            for fault in error.faults:
                logs.event(_log, logging.ERROR, "configuration not taken; the old one stays", fault=fault)
        else:
            logs.event(_log, logging.INFO, "configuration read again")
        manager.ready(daemon.summary())
    manager.stopping()
    logs.event(_log, logging.INFO, "ending", signal=max(received - {signal.SIGHUP}).name)
    server.stop()
    daemon.stop()
    return OK


def _state_directory(settings: Settings) -> Path | None:
    """The configured one, or else what systemd made for the service, the first of several (systemd.exec(5))."""
    chosen = settings.state_directory or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(chosen) if chosen else None


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

    if options.interval is None:
        _let_signals_end(signals)
    elif options.output is None:
        raise UsageError(["dump: --interval keeps a file up to date; give --output FILE"])
    output = None if options.output is None else writable(options.output)
    options.databases = [options.database]
    settings = _settings(options)
    found, _ = distinct(one for source in settings.sources for one in discover(source))
    if len(found) != 1:
        matches = ", ".join(one.name for one in found[:5]) or "nothing"
        raise ConfigurationError([f"{options.database}: dump takes one database, this matches {matches}"])
    of_file = load(options.config_file, Overrides()).sources if options.config_file is not None else ()
    source = configured(of_file, found[0]) or found[0].settings
    format = Format.OPENMETRICS if options.format == "openmetrics" else Format.TEXT
    if options.interval is not None and output is not None:
        only_one = replace(settings, sources=(replace(source, target=found[0].target),))
        return _keep_file(options, signals, only_one, output, format)
    page = dump(
        open_reader(found[0]),
        options_of(settings, source, source.name or found[0].name)._replace(only=frozenset(options.runs)),
        format,
        clock=Clock(),
    )
    if output is None:
        write_out(page)
    else:
        write(page, output)
    return OK


def _keep_file(
    options: argparse.Namespace, signals: Signals | None, settings: Settings, output: Path, format: Format
) -> int:
    from parsl_exporter.cli.keeping import file_of, keep

    logs.configure(options.log_level, options.log_format, sys.stderr)
    only = frozenset(options.runs)
    keep(settings, signals or Signals(), options.interval, file_of(output), format=format,
         read_as=lambda how: how._replace(only=only, runs=max(how.runs, len(only))))  # fmt: skip
    return OK


def _push(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.push import Gateway, push_once

    settings = _settings(options)
    gateway = Gateway(options.to, options.job)
    if options.interval is None:
        _let_signals_end(signals)
        return FAULT if push_once(settings, gateway, _tell) else OK
    from parsl_exporter.cli.keeping import keep

    logs.configure(options.log_level, options.log_format, sys.stderr)
    keep(settings, signals or Signals(), options.interval, gateway.put)
    if not options.keep:
        gateway.delete()
    return OK


def _status(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.status import once, watch
    from parsl_exporter.source.clock import Clock

    settings = _settings(options)
    as_json = options.format == "json"
    if options.watch:
        return watch(settings, options.runs, as_json=as_json, signals=signals or Signals())
    _let_signals_end(signals)
    return once(settings, options.runs, as_json=as_json, fault=_tell, clock=Clock())


def _assets(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.cli.assets import assets, program
    from parsl_exporter.cli.site_flags import site_of

    _let_signals_end(signals)
    assets(site_of(options, options.output, program()), write_out, replace=options.force)
    return OK


def _completion(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.assets.completions import completion

    _let_signals_end(signals)
    write_out(completion(options.shell))
    return OK


def _demo(options: argparse.Namespace, signals: Signals | None) -> int:
    from parsl_exporter.demo import demo

    if signals is not None and signals.release():
        return OK
    return demo(options.listen_address, options.duration, with_prometheus=options.with_prometheus)


_RUN: Mapping[str, Callable[[argparse.Namespace, Signals | None], int]] = {
    "serve": _serve,
    "check": _check,
    "dump": _dump,
    "push": _push,
    "status": _status,
    "assets": _assets,
    "completion": _completion,
    "demo": _demo,
}
