"""What the command line takes: commands, flags, and the checks of a value that need no database."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from parsl_exporter.assets.completions import FILES
from parsl_exporter.base import logs
from parsl_exporter.base.redaction import hide_passwords
from parsl_exporter.base.release import VERSION
from parsl_exporter.cli.site_flags import add_site_flags, folder
from parsl_exporter.config.duration import duration

_COMMANDS = ("serve", "check", "dump", "push", "status", "assets", "completion", "demo")
_RESERVED = "backfill"
_ALIKE = 0.75
_DATABASE = "a database file, a runinfo folder, a glob, or a SQLAlchemy URL"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Give what the arguments mean: `command`, and its options as the command takes them. Ends the process as argparse
    does, after help and after wrong usage.
    """
    whole = parser()
    for flag, _, value in (one.partition("=") for one in takewhile("--".__ne__, arguments)):
        if value == "--" and flag.startswith("-"):  # argparse would make it an empty list
            whole.error(f"argument {flag}: -- is no value")
    return whole.parse_args(_command_first(arguments, _without_value(whole)))


def subparsers(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the parser of each command, in their order."""
    (commands,) = (one for one in whole._actions if isinstance(one, argparse._SubParsersAction))
    return dict(commands.choices)


def _without_value(whole: argparse.ArgumentParser) -> frozenset[str]:
    """The flags of any command that no value follows."""
    every = (one for part in (whole, *subparsers(whole).values()) for one in part._actions)
    return frozenset(flag for one in every if one.nargs == 0 for flag in one.option_strings)


def _command_first(arguments: list[str], without_value: frozenset[str]) -> list[str]:
    """The arguments with their command, `serve` where there is none, before its flags."""
    if not arguments or arguments[0] in ("-h", "--help", "--version"):
        return arguments or ["serve"]
    first = 0
    while first < len(arguments) and arguments[first].startswith("--") and arguments[first] != "--":
        first += 1 if "=" in arguments[first] or arguments[first] in without_value else 2
    if first < len(arguments) and arguments[first] in _COMMANDS:
        return [arguments[first], *arguments[:first], *arguments[first + 1 :]]
    return ["serve", *arguments]


class _Parser(argparse.ArgumentParser):
    """One that shows no passwords, and its version whatever the command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"parsl-exporter {VERSION}")

    def error(self, message: str) -> NoReturn:
        """End with how it goes."""
        super().error(hide_passwords(message))


def parser() -> argparse.ArgumentParser:
    """Give the parser of all commands: their names are in `command`, their options as the commands take them."""
    whole = _Parser(
        prog="parsl-exporter",
        description="Publishes Parsl's monitoring databases for Prometheus.",
        epilog="Without a command it serves: parsl-exporter [DATABASE ...] is parsl-exporter serve [DATABASE ...].",
    )
    commands = whole.add_subparsers(metavar="COMMAND", dest="command", required=True)

    serve = commands.add_parser("serve", help="serve metrics over HTTP until SIGTERM or SIGINT")
    _add_databases(serve)
    _add_config_file(serve)
    serve.add_argument("--web.listen-address", dest="listen_address", action="append", default=[], metavar="ADDRESS",
                       help="host:port to listen on; may be given again (default 127.0.0.1:9678)")  # fmt: skip
    serve.add_argument("--web.systemd-socket", dest="systemd_socket", action="store_true",
                       help="serve on the sockets that systemd passes on, instead of addresses")  # fmt: skip
    serve.add_argument("--web.telemetry-path", dest="telemetry_path", metavar="PATH", help="default /metrics")
    _add_web_config_file(serve)
    serve.add_argument("--poll.interval", dest="poll_interval", metavar="DURATION",
                       help="how often the databases are looked at, such as 250ms or 15s (default 1s)")  # fmt: skip
    serve.add_argument("--shard", metavar="I/N",
                       help="read the I-th of N parts of a server's runs and of the files, such as 1/3")  # fmt: skip
    serve.add_argument("--state.directory", dest="state_directory", metavar="FOLDER",
                       help="keep checkpoints there, from which the next start goes on (default: none, or systemd's"
                            " StateDirectory)")  # fmt: skip
    _add_log(serve)

    checking = commands.add_parser("check", help="check the configuration and each database, and report")
    _add_databases(checking)
    _add_config_file(checking)
    _add_web_config_file(checking)

    dumping = commands.add_parser("dump", help="read a database whole and write its metrics once")
    dumping.add_argument("database", metavar="DATABASE", type=_database, help=_DATABASE)
    _add_config_file(dumping)
    dumping.add_argument(
        "--output", type=_file, metavar="FILE", help="replace FILE atomically (default: standard output)"
    )
    dumping.add_argument("--format", choices=["text", "openmetrics"], default="text", help="default text")
    dumping.add_argument("--run", dest="runs", action="append", default=[], metavar="ID", type=_run_id,
                         help="this run alone, by its run_id; may be given again (default: all)")  # fmt: skip

    _add_interval(dumping, help="write FILE with what is new")

    pushing = commands.add_parser(
        "push", help="push metrics to a Pushgateway, from where nothing can be scraped"
    )
    _add_databases(pushing)
    _add_config_file(pushing)
    pushing.add_argument("--to", required=True, type=_gateway, metavar="URL",
                         help="the Pushgateway, such as http://gateway.example.org:9091; of a user without a password"
                              " that is in PARSL_EXPORTER_PUSH_PASSWORD")  # fmt: skip
    pushing.add_argument("--job", type=_job, default="parsl-exporter", metavar="NAME",
                         help="default parsl-exporter, which the alerts ask for")  # fmt: skip
    pushing.add_argument("--keep", action="store_true", help="with --interval: at the end delete nothing")
    _add_interval(pushing, help="push what is new, and delete it at the end")

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

    writing = commands.add_parser(
        "assets", help="write dashboards, rules, runbooks and examples into a folder"
    )
    writing.add_argument(
        "--output", type=folder, required=True, metavar="DIR", help="the folder; made where missing"
    )
    writing.add_argument("--force", action="store_true", help="replace files there that differ")
    add_site_flags(writing)

    completion = commands.add_parser(
        "completion", help="write to standard output what a shell completes with"
    )
    completion.add_argument(
        "shell", choices=list(FILES), help="source what is written, or put it where the shell looks"
    )

    demo = commands.add_parser("demo", help="run a real Parsl workflow and an exporter on it, until Ctrl-C")
    demo.add_argument("--duration", metavar="DURATION", help="end by itself after so long, such as 60s")
    demo.add_argument("--web.listen-address", dest="listen_address", metavar="ADDRESS",
                      help="default 127.0.0.1:9678, or any free port where that is taken")  # fmt: skip
    demo.add_argument(
        "--with-prometheus", action="store_true", help="with Prometheus and Alertmanager, where installed"
    )
    return whole


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


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log.level", dest="log_level", choices=list(logs.LEVELS), default="info",
                        help="the least of what is logged (default info)")  # fmt: skip
    parser.add_argument("--log.format", dest="log_format", choices=["logfmt", "json"], default="logfmt",
                        help="how a line of the log is written (default logfmt)")  # fmt: skip


def _add_interval(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--interval", type=_interval, metavar="DURATION",
                        help=f"every so often, such as 30s, {help}; until a signal (default: once)")  # fmt: skip
    _add_log(parser)


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


def _interval(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds < 1:
        raise argparse.ArgumentTypeError(f"{text} is too short; give 1s or more")
    return seconds


def _gateway(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        fits = fits and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(
            "is no URL of a Pushgateway; give one such as http://gateway.example.org:9091"
        )
    return text


def _job(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]+", text):
        raise argparse.ArgumentTypeError("is no name of a job; give one of letters, digits and . : _ -")
    return text


def _run_id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty; give the run_id of a run")
    return text
