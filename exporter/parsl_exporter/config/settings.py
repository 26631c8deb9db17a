"""The settings of the exporter: one table of their kinds, defaults, flags and meanings.

The dataclasses are that table: `setting` gives each field its kind, its default as the file spells it, its
flag and its meaning. Reading a file, the defaults and `reference` derive from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

from parsl_exporter.base.shard import Shard
from parsl_exporter.config.types import (
    ADDRESSES,
    BOUNDS,
    COUNT,
    DATABASE_URL,
    DURATION,
    FAILURE_REASONS,
    HIDDEN_LABELS,
    LOCAL,
    PATH,
    RUN_TIME_ZONES,
    SHARD,
    SWITCH,
    TELEMETRY_PATH,
    TEXT,
    TIME_ZONE,
    WORKER_TIME_ZONES,
    SettingType,
)
from parsl_exporter.config.yaml import read_text

T = TypeVar("T")

DEFAULT_TARGET = "runinfo/monitoring.db"

# Each costs a series per app and executor of a run, once the run has seen it.
_PARSL_FAILURES = (
    "AppBadFormatting, AppException, AppTimeout, BadStateException, BadStdStreamFile, BashAppNoReturn, "
    "BashExitFailure, DependencyError, DeserializationError, ExecutorError, InvalidResourceSpecification, JoinError, "
    "MPINodesUnavailable, ManagerLost, MissingOutputs, NoDataFlowKernelError, OptionalModuleMissing, "
    "RadioRequiredError, ScaleOutFailed, ScalingFailed, SerializationError, SubmitException, TaskVineManagerFailure, "
    "TaskVineTaskFailure, TooManyJobFailuresError, UnsupportedFeatureError, WorkQueueFailure, WorkQueueTaskFailure, "
    "WorkerLost, ZipAuthorityError"
)
_PYTHON_FAILURES = (
    "ArithmeticError, AssertionError, AttributeError, BrokenPipeError, BrokenProcessPool, CalledProcessError, "
    "CancelledError, ChildProcessError, ConnectionError, ConnectionRefusedError, ConnectionResetError, EOFError, "
    "Exception, FileExistsError, FileNotFoundError, FloatingPointError, HTTPError, ImportError, IndexError, "
    "IsADirectoryError, JSONDecodeError, KeyError, KeyboardInterrupt, LinAlgError, LookupError, MemoryError, "
    "ModuleNotFoundError, NameError, NotADirectoryError, NotImplementedError, OSError, OverflowError, PermissionError, "
    "PicklingError, RecursionError, RuntimeError, SSLError, StopIteration, SyntaxError, SystemError, SystemExit, "
    "TimeoutError, TimeoutExpired, TypeError, URLError, UnboundLocalError, UnicodeDecodeError, UnicodeEncodeError, "
    "UnpicklingError, ValueError, ZeroDivisionError"
)
_SECONDS = "0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400"
_BYTES = ", ".join(str(2**exponent) for exponent in range(24, 39))


def setting(kind: SettingType[T], default: str, doc: str, flag: str = "") -> T:
    """A field of a settings class; `default` is YAML, as a user would write it."""
    about = {"kind": kind, "default": default, "doc": doc, "flag": flag}
    return field(default=kind.read(read_text(default, "default")), metadata=about)


def optional(kind: SettingType[T], doc: str, flag: str = "") -> T | None:
    """A field that is None unless it is given."""
    return field(default=None, metadata={"kind": kind, "default": "", "doc": doc, "flag": flag})


@dataclass(frozen=True)
class BucketSettings:
    """Upper bounds of the histograms' buckets, without +Inf."""

    seconds: tuple[float, ...] = setting(BOUNDS, f"[{_SECONDS}]", "Bounds of the histograms of seconds.")
    bytes: tuple[float, ...] = setting(BOUNDS, f"[{_BYTES}]", "Bounds of the histograms of bytes.")


@dataclass(frozen=True)
class LimitSettings:
    """How much is published; what is beyond is folded into `_other`, but for runs that are over: these are dropped."""

    apps_per_run: int = setting(COUNT, "200", "Apps of a run with series of their own.")
    runs_per_source: int = setting(
        COUNT, "200", "Runs of a source with series of their own: those that live, then the newest."
    )
    series: int = setting(COUNT, "200000", "Series in all.")


@dataclass(frozen=True)
class WebSettings:
    """Where and how the pages are served."""

    listen_address: tuple[str, ...] = setting(
        ADDRESSES,
        '["127.0.0.1:9678"]',
        "Addresses to serve on; `:9678` is all interfaces.",
        "--web.listen-address",
    )
    telemetry_path: str = setting(TELEMETRY_PATH, "/metrics", "Path of the metrics.", "--web.telemetry-path")
    config_file: str | None = optional(
        PATH, "TLS and basic auth, in the format of Prometheus' exporter-toolkit.", "--web.config.file"
    )


@dataclass(frozen=True)
class SourceSettings:
    """One configured source: a file, a runinfo folder, a glob or a SQLAlchemy URL (it holds `://`).

    `timezone` None is the timezone of the whole. A name with a glob is a prefix to each file's own name.
    """

    target: str
    name: str | None = optional(TEXT, "Its `source` label; default: its path, or its URL without the login.")
    timezone: str | None = optional(TIME_ZONE, "Zone of its timestamps; default: the setting `timezone`.")
    hide_labels: frozenset[str] = setting(
        HIDDEN_LABELS, "[]", "Labels of `parsl_workflow_info` to show as `hidden`."
    )
    run_timezones: tuple[tuple[str, str], ...] = setting(
        RUN_TIME_ZONES,
        "{}",
        "Zones of runs whose submit host (`workflow.host`) matches a pattern, such as `{login*: Europe/Paris}`; "
        "the first that matches counts.",
    )
    worker_timezone: tuple[tuple[str, str], ...] = setting(
        WORKER_TIME_ZONES,
        "{}",
        "Zone of what workers stamp (states running and running_ended, samples) where it is not the run's, such as "
        "`UTC` in a container; or by patterns of executor labels, such as `{htex_container: UTC}`, of which the first "
        "that matches counts. Executors without blocks and managers run in the submit process and keep its zone.",
    )


@dataclass(frozen=True)
class Settings:
    """All settings. Durations are in seconds."""

    poll_interval: float = setting(DURATION, "1s", "How often the databases are read.", "--poll.interval")
    retention: float = setting(DURATION, "15m", "How long series outlive their run, block, manager or host.")
    abandon_after: float = setting(
        DURATION, "24h", "A run without an end and without a new row for so long is dropped."
    )
    close_after: float = setting(
        DURATION, "30s", "Histograms observe an ended try when no row of it has come for so long."
    )
    timezone: str = setting(TIME_ZONE, LOCAL, "Zone of the databases' timestamps: `local` or an IANA name.")
    shard: Shard = setting(  # noqa: RUF009  # Shard is frozen
        SHARD,
        "1/1",
        "The part that this one of N exporters reads: of a server's runs, and of the database files.",
        "--shard",
    )
    state_directory: str | None = optional(
        PATH,
        "A folder of the exporter's own, never one of Parsl's, for checkpoints, from which its next start goes on. "
        "Default: none, or systemd's `StateDirectory`.",
        "--state.directory",
    )
    buckets: BucketSettings = field(default=BucketSettings())
    failure_reasons: tuple[str, ...] = setting(
        FAILURE_REASONS,
        f"[{_PARSL_FAILURES}, {_PYTHON_FAILURES}]",
        "Exception classes that failures are counted by, each once a run has seen it; the rest is `_other`. "
        "A list given here replaces this one.",
    )
    created_samples: bool = setting(
        SWITCH,
        "true",
        "`_created` samples on OpenMetrics pages, about a fifth more series; Prometheus stores them as any others.",
    )
    classic_buckets: bool = setting(
        SWITCH,
        "true",
        "Classic buckets beside the native ones that Prometheus takes with its feature `native-histograms`.",
    )
    limits: LimitSettings = field(default=LimitSettings())
    web: WebSettings = field(default=WebSettings())
    sources: tuple[SourceSettings, ...] = (SourceSettings(DEFAULT_TARGET),)


class Described(NamedTuple):
    """A setting as the documentation shows it; `key` is its path in the file."""

    key: str
    kind: str
    default: str
    doc: str
    flag: str = ""


_TARGET_KEYS = (
    Described(
        "sources[].path",
        PATH.name,
        "",
        "A database file, a `runinfo` folder or a glob. A source may be a path or URL alone: `sources: [runinfo]`.",
    ),
    Described("sources[].url", DATABASE_URL.name, "", "A SQLAlchemy URL, instead of a path."),
)


def table() -> tuple[Described, ...]:
    """All settings, in the order of the documentation."""
    return (*_described(Settings, ""), *_TARGET_KEYS, *_described(SourceSettings, "sources[]."))


def reference() -> str:
    """The settings as a Markdown table."""
    lines = ["| key | kind | default | flag | meaning |", "|---|---|---|---|---|"]
    for row in table():
        default, flag = (f"`{text}`" if text else "" for text in (row.default, row.flag))
        lines.append(f"| `{row.key}` | {row.kind} | {default} | {flag} | {row.doc} |")
    return "\n".join(lines) + "\n"


def _described(cls: type[Any], prefix: str) -> Iterator[Described]:
    for item in fields(cls):
        key = f"{prefix}{item.name}"
        if item.metadata:
            about = dict(item.metadata)
            yield Described(key, about.pop("kind").name, **about)
        elif is_dataclass(item.default):
            yield from _described(type(item.default), f"{key}.")
