"""The errors of the exporter, by what the caller can do about them.

ExporterError              base; its text is one line for a person: what is wrong and what to do
├── ConfigurationError     fix the configuration or the arguments, then start or reload again
│   └── UsageError         fix the arguments: nothing else is wrong
├── AssetsFault            give another folder, or a way to write it: nothing was written
├── NoSuchRun              ask for a run that the database has
├── PushFault              the Pushgateway took nothing: try again later, or correct its address or login
├── SourceBusy             another process holds the database's lock: try again in a moment
├── SourceReplaced         rows already read are gone or the file is another one: read it anew
├── SourceFault            this poll failed; the next one may do better
│   └── SourceToCome       nothing is wrong: a run is still to make what is to be read
├── CheckpointFault        a checkpoint cannot be used or written: go on without
└── ReaderGone             whoever read standard output has gone: end without a word
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from enum import StrEnum


class ExporterError(Exception):
    """Base of all errors raised on purpose. `str(error)` is one line without secrets."""


class ConfigurationError(ExporterError):
    """The configuration cannot be used. `faults` holds one line for each thing that is wrong."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


class UsageError(ConfigurationError):
    """The command line cannot be used."""


class AssetsFault(ExporterError):
    """The files that belong to the exporter are not there, or cannot be written where they are wanted."""


class NoSuchRun(ExporterError):
    """The database has no run of an id that was asked for."""


class PushFault(ExporterError):
    """A Pushgateway cannot be reached, or refuses what it was given. `answered`: it said so itself."""

    def __init__(self, message: str, *, answered: bool) -> None:
        self.answered = answered
        super().__init__(message)


class SourceBusy(ExporterError):
    """The database is locked by a writer right now."""


class SourceReplaced(ExporterError):
    """The rows that positions refer to are not there any more."""


class ReaderGone(ExporterError):
    """Standard output is a pipe that nobody reads any more, as after `| head`."""


class FaultReason(StrEnum):
    """Why a poll failed: the values of the label `reason` of `parsl_exporter_errors_total`."""

    MISSING = "missing"
    NOT_REGULAR = "not_regular"
    UNREADABLE = "unreadable"
    NOT_A_DATABASE = "not_a_database"
    SCHEMA = "schema"
    LOCKED = "locked"
    HOT_JOURNAL = "hot_journal"
    REPLACED = "replaced"
    CORRUPT = "corrupt"
    CONNECTION = "connection"
    LOGIN = "login"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    IO = "io"
    INTERNAL = "internal"


class SourceFault(ExporterError):
    """A poll failed, for `reason`."""

    def __init__(self, reason: FaultReason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class SourceToCome(SourceFault):
    """There is nothing to read yet where a run will put it."""


class CheckpointFault(ExporterError):
    """A checkpoint is not to be used, or none can be written: all is as if there were none."""


def to_install(requirement: str) -> str:
    """The command that installs a package for the Python that runs this, wherever that came from."""
    return f"{shlex.quote(sys.executable)} -m pip install '{requirement}'"
