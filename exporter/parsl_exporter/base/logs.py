"""Logs: one line an event, in logfmt or JSON as Prometheus writes them, without passwords."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TextIO

from parsl_exporter.base.redaction import hide_passwords

Format = Literal["logfmt", "json"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
REMIND_AFTER = 600.0  # seconds
LONGEST_VALUE = 2000  # characters; a traceback is written whole

_OWN_KEYS = ("ts", "level", "msg")


def configure(level: str, format: Format, stream: TextIO) -> None:
    """Send the events of `level` (a key of `LEVELS`) and above to `stream`, also those of libraries.

    Python's warnings become events. Called again, it replaces what it set up before.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    handler = _Handler(stream)
    handler.setFormatter(LineFormatter(format))
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    logging.captureWarnings(True)


def event(logger: logging.Logger, level: int, message: str, /, **fields: object) -> None:
    """Log `message` (a constant, so that it can be searched for) with what varies as fields."""
    logger.log(level, "%s", message, extra={"fields": fields}, stacklevel=2)


class LineFormatter(logging.Formatter):
    """Writes a record as one line: `ts`, `level`, `msg`, the logger if it is a library's, fields, traceback.

    It fails for no record: what cannot be turned into text is named by its type.
    """

    def __init__(self, format: Format) -> None:
        super().__init__()
        self._format = format

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        stamp = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        pairs: dict[str, object] = {
            "ts": stamp.replace("+00:00", "Z"),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "msg": _cut(_message(record)),
        }
        if record.name.partition(".")[0] != "parsl_exporter":
            pairs["logger"] = _cut(record.name)
        fields = getattr(record, "fields", None)
        for key, value in fields.items() if isinstance(fields, dict) else ():
            name = re.sub(r"[^A-Za-z0-9_.]", "_", _cut(_text(key))) or "_"
            pairs[f"{name}_" if name in _OWN_KEYS else name] = _scalar(value)
        if record.exc_info and record.exc_info[0] is not None:
            pairs["traceback"] = hide_passwords(_text(self.formatException(record.exc_info)))
        if self._format == "json":
            return "{" + ",".join(f"{_quoted(key)}:{_json(value)}" for key, value in pairs.items()) + "}"
        return " ".join(f"{key}={_logfmt(value)}" for key, value in pairs.items())


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Drop the event: the stream is gone, and logging's own report would show passwords."""


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a library's arguments do not fit its format: its event is still worth a line
        return _text(record.msg)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # __str__ of any object may fail, and its event must not be lost for that
        return f"<{type(value).__name__}>"


def _cut(text: str) -> str:
    text = hide_passwords(text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}... ({len(text)} characters)"


def _scalar(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool):
        return value
    # Other readers of JSON have 64 bits for a whole number and no infinity.
    if (isinstance(value, int) and abs(value) < 2**63) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _cut(_text(value))


def _json(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _logfmt(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value.isprintable() and not any(c in ' "=\\' for c in value)
    return value if plain and value else _quoted(value)


def _quoted(text: str) -> str:
    """A JSON string, escaped further so that no character can end the line or drive a terminal."""
    return "".join(
        c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(text, ensure_ascii=False)
    )


@dataclass
class _Failing:
    message: str
    since: float
    logged: float
    count: int = 1


class RepeatedFault:
    """Logs a fault that comes back at every attempt by its start, a reminder now and then, and its end.

    A fault is known by its key, which belongs to one thread; keys that are not in `ended` stay in memory.
    `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        remind_after: float = REMIND_AFTER,
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._remind_after = remind_after
        self._failing: dict[Hashable, _Failing] = {}

    def failed(self, key: Hashable, message: str, /, **fields: object) -> None:
        """The attempt failed: a warning if the last one did not, again after every `remind_after` seconds."""
        now = self._clock()
        fault = self._failing.get(key)
        if fault is None:
            self._failing[key] = _Failing(message, now, now)
            event(self._logger, logging.WARNING, message, **fields)
            return
        fault.count += 1
        fault.message = message
        if now - fault.logged >= self._remind_after:
            fault.logged = now
            about = {"fault": message, "count": fault.count, "seconds": round(now - fault.since, 3)}
            event(self._logger, logging.WARNING, "still failing", **{**fields, **about})

    def ended(self, key: Hashable, /, **fields: object) -> None:
        """The attempt succeeded: one line with how often and how long it failed, if it did."""
        fault = self._failing.pop(key, None)
        if fault is not None:
            seconds = round(self._clock() - fault.since, 3)
            about = {"fault": fault.message, "count": fault.count, "seconds": seconds}
            event(self._logger, logging.INFO, "works again", **{**fields, **about})
