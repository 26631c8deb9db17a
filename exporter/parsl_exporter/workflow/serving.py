"""An exporter beside a workflow: a child process, which ends with it and can do it no harm."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from parsl_exporter.base.errors import ConfigurationError, ExporterError
from parsl_exporter.base.redaction import hide_passwords
from parsl_exporter.workflow.database import Database, target_of

DEFAULT_ADDRESS = "127.0.0.1:9678"
_STARTING = 30.0
"""Seconds for which a URL is waited for."""
_ENDING = 10.0
"""Seconds that the exporter may take to end, beside those that it lingers."""
_LONGEST = 86_400.0
"""Seconds that it may linger at most."""
_TO_COME = ("missing", "schema")
"""Faults of a database that is still to be made: the workflow makes it."""

_log = logging.getLogger(__name__)


class Serving:
    """An exporter beside this process; it ends with the `with` block, with `stop`, or with the process.

    Nothing here raises for a fault of the exporter: that is a warning in the log of `parsl_exporter`. A process that is
    forked from this one neither ends it nor waits for it.
    """

    def __init__(self, process: subprocess.Popen[bytes] | None, linger: float) -> None:
        self._process = process
        self._owner = os.getpid()
        self._linger = linger
        self._url: str | None = None
        self._fault = ""
        self._known = threading.Event()
        self._stopping = False
        self._listener = threading.Thread(target=self._listen, name="parsl-exporter", daemon=True)
        if process is None:
            self._known.set()
        else:
            self._listener.start()

    @property
    def url(self) -> str | None:
        """Where it serves, with the port that was really taken; waits until it does. None: it does not."""
        self._known.wait(_STARTING if os.getpid() == self._owner else 0.0)
        return self._url

    def stop(self) -> None:
        """End the exporter, once who scrapes it has seen the last rows, or has had the time to (`linger`)."""
        process = self._process
        if process is None or self._stopping or os.getpid() != self._owner:
            return
        self._stopping = True
        try:
            assert process.stdin is not None
            with suppress(OSError, ValueError):  # it has ended
                process.stdin.write(b"finish\n")
                process.stdin.flush()
            self._listener.join(self._linger + _ENDING)
        finally:
            # Also when Ctrl-C cuts the waiting short.
            process.kill()
            self._listener.join(1.0)

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = (
            "ended" if self._stopping else self._url or ("no address" if self._known.is_set() else "starting")
        )
        return f"<parsl_exporter.Serving: {where}>"

    def _listen(self) -> None:
        """Take what the exporter says until it ends."""
        process = self._process
        assert process is not None and process.stderr is not None and process.stdin is not None
        for line in process.stderr:
            self._hear(line.decode(errors="replace").strip())
        status = process.wait()
        process.stderr.close()
        with suppress(OSError):  # for what it has not read
            process.stdin.close()
        self._known.set()
        if not self._stopping:
            why = self._fault or f"its exporter ended with {status}"
            if self._url is None:
                _warn(f"this workflow has no metrics, and goes on: {why}")
            else:
                self._url = None
                _warn(f"this workflow has no metrics any more, and goes on: {why}")

    def _hear(self, line: str) -> None:
        try:
            told: dict[str, Any] = json.loads(line)
            message, level = str(told["msg"]), told["level"]
        except (ValueError, LookupError, TypeError):
            self._fault = hide_passwords(line) or self._fault  # of a traceback the last line says what it was
            return
        if message == "listening":
            self._url = told["url"]
            self._known.set()
        elif level == "error" and self._url is None:
            self._fault = message
        elif level in ("warn", "error") and told.get("reason") not in _TO_COME:
            _warn(message)


def serve(
    config: Database,
    *,
    address: str = DEFAULT_ADDRESS,
    linger: float = 30.0,
    config_file: str | os.PathLike[str] | None = None,
) -> Serving:
    """Start an exporter for the runs of a Parsl Config, best before `parsl.load`; also for a DATABASE.

    It serves on `address`, of which port 0 is any free one. At the end it stays until a scrape has brought the last
    rows, for `linger` seconds at most, and not at all where none is to be expected by then. `config_file` is the
    exporter's own. Whatever fails is a warning in the log, and the workflow goes on.
    """
    try:
        linger = _seconds(linger)
        return Serving(_started(config, address, linger, config_file), linger)
    except ExporterError as error:
        why = str(error)
    except Exception as error:  # whatever it is: the workflow is what counts
        why = hide_passwords(f"{type(error).__name__}: {error}")
    _warn(f"this workflow has no metrics, and goes on: {why}")
    return Serving(None, 0.0)


def _seconds(linger: float) -> float:
    seconds = float(linger)
    if not 0 <= seconds <= _LONGEST:
        raise ConfigurationError([f"linger={linger!r}: give seconds from 0 to {_LONGEST:.0f}"])
    return seconds


def _started(
    config: Database, address: str, linger: float, config_file: str | os.PathLike[str] | None
) -> subprocess.Popen[bytes]:
    order = {
        "parent": os.getpid(),
        "database": target_of(config),
        "address": str(address),
        "linger": linger,
        "config_file": None if config_file is None else str(Path(config_file).absolute()),
    }
    process = subprocess.Popen(
        # Without the working folder on its path, where a script may be called like a module of Python's.
        [sys.executable, "-P", "-m", "parsl_exporter.workflow.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for the workflow, which ends it once it has cleaned up
    )
    # By a pipe, as a URL may have a password in it: arguments can be seen by all, the environment goes on to children.
    stdin: IO[bytes] | None = process.stdin
    assert stdin is not None
    with suppress(OSError):  # it has ended, and says why
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
    return process


def _warn(message: str) -> None:
    _log.warning("parsl_exporter: %s", message)
