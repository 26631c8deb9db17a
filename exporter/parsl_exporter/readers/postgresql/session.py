"""One read-only connection to a PostgreSQL server that gives up in time, and what its errors mean.

Sources: postgresql.org/docs, "Client Connection Defaults", "Database Connection Control Functions" (libpq) and
"PostgreSQL Error Codes".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.string import TextBinaryLoader, TextLoader
from sqlalchemy.engine import URL

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceBusy, SourceFault
from parsl_exporter.base.redaction import hide_passwords
from parsl_exporter.base.tables import Row
from parsl_exporter.readers.pace import ReadTimes
from parsl_exporter.readers.postgresql.deadline import DEADLINES

DEADLINE = 5.0
"""Seconds that one statement may take on the server."""
_GRACE = 2.0
_RETRY_AT_MOST = 5.0
_APPLICATION = "parsl-exporter"
_OLDEST = 14
_CONNECTION = {
    "application_name": _APPLICATION,
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# enable_seqscan: the planner knows no sizes of a table that was never analyzed, and must not guess a scan of it.
# row_security: a policy that hides rows makes an error, not a page that lacks them.
_SESSION = {
    "default_transaction_read_only": "on",
    "statement_timeout": f"{DEADLINE:g}s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "10s",
    "DateStyle": "ISO",
    "enable_seqscan": "off",
    "jit": "off",
    "work_mem": "32MB",
    "row_security": "off",
}
_SETTLE = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)"


class Server(tuple[Any, ...]):
    """What tells one running server and database from another, and from itself before a restart or a failover."""


class Session:
    """A connection that is made when it is needed. `shown` names the database in messages."""

    def __init__(self, url: URL, shown: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.read_times = ReadTimes()
        self._url = url.set(drivername="postgresql+psycopg")
        self._shown = shown
        self._monotonic = monotonic
        self._connection: psycopg.Connection[Row] | None = None
        self._attempts = 0
        self._next_attempt = 0.0
        self._refusal: SourceFault | None = None

    def open(self) -> Server | None:
        """Connect, unless there is a connection; give what tells the server when one was made.

        After a failure the same fault is raised for a few seconds without another attempt. Raises SourceFault.
        """
        if self._connection is not None and not self._connection.closed:
            return None
        now = self._monotonic()
        if self._refusal is not None and now < self._next_attempt:
            raise self._refusal
        try:
            server = self._connect()
        except (SourceFault, SourceBusy) as fault:
            self.close()
            self._attempts += 1
            self._next_attempt = now + min(_RETRY_AT_MOST, self._attempts)
            self._refusal = fault if isinstance(fault, SourceFault) else None
            raise
        self._attempts, self._refusal = 0, None
        return server

    def _connect(self) -> Server:
        arguments = connect_arguments(self._url)
        try:
            self._connection = psycopg.connect(autocommit=True, **{**_CONNECTION, **arguments})
        except (psycopg.Error, UnicodeError, ValueError) as error:
            raise self._refused(error) from None
        connection = self._connection
        version = connection.info.server_version // 10_000
        if version < _OLDEST:
            raise SourceFault(
                FaultReason.UNSUPPORTED, f"{self._shown}: PostgreSQL {version}; {_OLDEST} or later is needed"
            )
        connection.adapters.register_loader("timestamp", TextLoader)
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            connection.adapters.register_loader("text", _LenientLoader)
            connection.adapters.register_loader("text", _LenientBinaryLoader)
            connection.adapters.register_loader("varchar", _LenientBinaryLoader)
        self.fetch(_SETTLE, (list(_SESSION), list(_SESSION.values())))
        found = self.fetch(
            "SELECT pg_is_in_recovery(), system_identifier, timeline_id, pg_postmaster_start_time()::text,"
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
            " FROM pg_control_system(), pg_control_checkpoint()"
        )[0]
        if found[0]:
            raise SourceFault(
                FaultReason.UNSUPPORTED,
                f"{self._shown}: is a standby, which does not tell when rows were deleted; give the primary",
            )
        return Server(found[1:])

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def fetch(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, binary: bool = False
    ) -> list[Row]:
        """Run one statement in a transaction of its own. Raises SourceBusy and SourceFault."""
        connection = self._connection
        if connection is None:
            raise SourceFault(FaultReason.CONNECTION, f"{self._shown}: not connected")
        begin = self._monotonic()
        try:
            with DEADLINES.within(DEADLINE + _GRACE, connection.fileno()):
                return connection.execute(sql, parameters or None, binary=binary).fetchall()
        except (psycopg.Error, UnicodeError, ValueError, OverflowError) as error:
            raise self._fault(error, self._monotonic() - begin) from None
        finally:
            self.read_times.add(self._monotonic() - begin)

    # --- errors ---------------------------------------------------------------------------------------------

    def _refused(self, error: Exception) -> SourceFault:
        """What a failed connection means. libpq gives no error codes then: the texts are the server's."""
        text = _line(error)
        if "does not exist" in text and "database" in text:
            return SourceFault(FaultReason.MISSING, f"{self._shown}: {text}")
        if "connection" in text and ("too many" in text or "slots" in text):
            return SourceFault(FaultReason.CONNECTION, f"{self._shown}: {text}")
        login = ("authentication", "password", "pg_hba", "role", "not permitted", "permission denied")
        if any(word in text for word in login):
            return SourceFault(
                FaultReason.LOGIN,
                f"{self._shown}: {text}; check the role, its password and the server's pg_hba.conf",
            )
        return SourceFault(FaultReason.CONNECTION, f"{self._shown}: {text}")

    def _fault(self, error: Exception, taken: float) -> ExporterError:
        text, state = _line(error), getattr(error, "sqlstate", None) or ""
        if state == "55P03":
            return SourceBusy(f"{self._shown}: a table is locked (VACUUM FULL, TRUNCATE or ALTER TABLE)")
        if state == "57014":
            return SourceFault(FaultReason.TIMEOUT, f"{self._shown}: {text}")
        self.close()
        if taken > DEADLINE:
            return SourceFault(
                FaultReason.TIMEOUT, f"{self._shown}: no answer for {taken:.0f} s; connecting anew"
            )
        if state == "42501":
            return SourceFault(
                FaultReason.UNREADABLE, f"{self._shown}: {text}; grant this role SELECT on Parsl's tables"
            )
        if state[:2] in ("42", "0A"):
            return SourceFault(
                FaultReason.SCHEMA, f"{self._shown}: {text}; its tables changed while they were read"
            )
        if state[:2] == "XX":
            return SourceFault(FaultReason.CORRUPT, f"{self._shown}: {text}")
        return SourceFault(FaultReason.CONNECTION, f"{self._shown}: {text}; connecting anew")


def connect_arguments(url: URL) -> Mapping[str, Any]:
    """Give what psycopg is told of a URL with its driver's name, as SQLAlchemy's dialect does.

    That brings all of its drivers along when it is imported, and says more only of several hosts.
    """
    if {"host", "port"} & url.query.keys():
        arguments: Mapping[str, Any] = url.get_dialect()().create_connect_args(url)[1]
        return arguments
    return {**url.translate_connect_args(username="user", database="dbname"), **url.query}


class _LenientLoader(TextLoader):
    """Of a database without an encoding: what is not UTF-8 stands as backslash escapes."""

    def load(self, data: bytes | bytearray | memoryview) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


class _LenientBinaryLoader(TextBinaryLoader):
    """The same of a result in binary."""

    def load(self, data: bytes | bytearray | memoryview) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


def _line(error: Exception) -> str:
    """An error as one line without secrets, and without the address, which the source's name has."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1 if lines and lines[0].startswith("Multiple") else 0] if lines else type(error).__name__
    return hide_passwords(text.rpartition("FATAL:")[2].strip() or text)[:300]
