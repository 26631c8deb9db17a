"""What a setting may be: each kind reads a node of the configuration and says what it expected."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from parsl_exporter.base.errors import ConfigurationError, to_install
from parsl_exporter.base.redaction import may_begin_with_login, shown
from parsl_exporter.base.shard import Shard
from parsl_exporter.config.address import split_address
from parsl_exporter.config.duration import EXPECTED as A_DURATION
from parsl_exporter.config.duration import duration
from parsl_exporter.config.yaml import Node, Shape

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

T = TypeVar("T")

LOCAL = "local"
HIDEABLE = ("user", "host", "rundir")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""As YAML 1.1 has it."""
OWN_PATHS = ("/", "/-/healthy", "/-/ready")
RESERVED_REASONS = ("unknown", "_other")
_WORDS: tuple[Shape, ...] = ("text", "number")


@dataclass(frozen=True)
class SettingType(Generic[T]):
    """`name` is for the documentation; `read` raises ConfigurationError with all faults of the node."""

    name: str
    read: Callable[[Node], T]


def scalar(
    name: str, expected: str, convert: Callable[[str], T], shapes: tuple[Shape, ...] = ("text",)
) -> SettingType[T]:
    """A single value. `convert` raises ValueError with the message for the user."""

    def read(node: Node) -> T:
        if node.shape not in shapes:
            quotes = "; put it in quotes" if "text" in shapes and node.text else ""
            raise node.fault(f"expected {expected}, found {node.what}{quotes}")
        try:
            return convert(node.text)
        except ValueError as error:
            raise node.fault(str(error)) from None

    return SettingType(name, read)


def listed(
    name: str, item: SettingType[T], least: int = 0, increasing: bool = False
) -> SettingType[tuple[T, ...]]:
    """A list of `least` or more items, all different, in increasing order where that is asked for."""

    def read(node: Node) -> tuple[T, ...]:
        if node.shape != "list":
            raise node.fault(f"expected a list, found {node.what}")
        if len(node.items) < least:
            raise node.fault(f"expected a list of at least {least}, found an empty one")
        faults: list[str] = []
        values: list[T] = []
        seen: set[T] = set()
        for part in node.items:
            value = collected(faults, item.read, part)
            if value is None:
                continue
            if increasing and values and not value > values[-1]:  # type: ignore[operator]  # numbers, by the caller
                faults += part.fault(f"expected a number greater than {values[-1]} before it").faults
            elif not increasing and value in seen:
                faults += part.fault(f"{shown(str(value))} is given twice").faults
            values.append(value)
            seen.add(value)
        if faults:
            raise ConfigurationError(faults)
        return tuple(values)

    return SettingType(name, read)


def one_or_list(several: SettingType[tuple[T, ...]]) -> SettingType[tuple[T, ...]]:
    """A list of texts, or a text that stands for a list of that one; a bare number counts as a text."""

    def read(node: Node) -> tuple[T, ...]:
        one = node.shape in _WORDS
        return several.read(replace(node, shape="list", items=(node,)) if one else node)

    return SettingType(several.name, read)


def collected(faults: list[str], read: Callable[[Node], T], node: Node) -> T | None:
    """What `read` makes of `node`; or None, its faults added to `faults`."""
    try:
        return read(node)
    except ConfigurationError as error:
        faults += error.faults
        return None


def read_mapping(
    node: Node,
    readers: Mapping[str, Callable[[Node], Any]],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The values of a mapping whose keys are all in `readers`, each at most once.

    `elsewhere` tells, in words, where keys belong that are not for this mapping.
    """
    if node.shape != "mapping":
        raise node.fault(f"expected a mapping (key: value), found {node.what}")
    faults: list[str] = []
    values: dict[str, Any] = {}
    first: dict[str, Node] = {}
    for key, value in node.entries:
        if key.text in first:
            before = first[key.text].place.rpartition(":")[2]
            faults += key.fault(f"the key {shown(key.text)} is given twice, first in line {before}").faults
        elif key.shape != "text" or key.text not in readers:
            faults += key.fault(_unknown_key(key, readers, elsewhere)).faults
        else:
            first[key.text] = key
            values[key.text] = collected(faults, readers[key.text], value)
    if faults:
        raise ConfigurationError(faults)
    return values


def _unknown_key(key: Node, known: Mapping[str, object], elsewhere: Mapping[str, str]) -> str:
    if key.shape != "text":
        return f"expected a key, found {key.what}"
    if key.text in elsewhere:
        return f"unknown key {shown(key.text)} here; it belongs {elsewhere[key.text]}"
    alike = difflib.get_close_matches(key.text[:80], known, 1)
    hint = f"did you mean {alike[0]}?" if alike else f"expected one of {', '.join(known)}"
    return f"unknown key {shown(key.text)}; {hint}"


def _positive_duration(text: str) -> float:
    seconds = duration(text)
    if seconds == 0:
        raise ValueError(f"{shown(text)} is no time at all; give {A_DURATION}")
    return seconds


def _count(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,15}", text) is None or int(text) == 0:
        raise ValueError(f"expected a whole number from 1, found {shown(text)}")
    return int(text)


def _bound(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"expected a finite number that is not negative, found {shown(text)}")
    return value


def plain_text(text: str) -> str:
    """Text that can stand in a label or a file's name."""
    if not text.strip():
        raise ValueError("is empty; give it a value or leave it out")
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _encodable_text(text: str) -> str:
    # An escape such as "\ud800" gives half a character, which no page can carry.
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("holds half of a surrogate pair, which is no character")
    return plain_text(text)


def path_text(text: str) -> str:
    """Text that names a file, `~` as a shell takes it, and that is no URL gone wrong.

    A path is shown everywhere, a password nowhere.
    """
    if may_begin_with_login(text):
        raise ValueError(
            "looks like a URL with a login, which begins as postgresql://; write ./ before a path"
        )
    return os.path.expanduser(plain_text(text))  # noqa: PTH111  # Path's fails for a user that is not known


def _path(text: str) -> str:
    if "://" in text:
        raise ValueError("is a URL, which goes under url; expected a file, a runinfo folder or a glob")
    return path_text(_encodable_text(text))


def _reason(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise ValueError(f"expected the name of an exception class, found {shown(text)}")
    if text in RESERVED_REASONS:
        raise ValueError(f"{text} needs no naming; leave it out")
    return text


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _hideable(text: str) -> str:
    if text not in HIDEABLE:
        raise ValueError(f"expected one of {', '.join(HIDEABLE)}, found {shown(text)}")
    return text


def _time_zone(text: str) -> str:
    if text == LOCAL or _is_zone(text):
        return text
    if not _is_zone("UTC"):
        raise ValueError(
            "this machine has no time zone database; install it (apt install tzdata, or pip install tzdata)"
        )
    raise ValueError(f"{shown(text)} is no time zone; give an IANA name such as America/Chicago, or {LOCAL}")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError, ImportError):
        return False
    return True


def _zones_by(patterns: str, node: Node) -> tuple[tuple[str, str], ...]:
    if node.shape != "mapping":
        raise node.fault(f"expected a mapping of {patterns} to time zones, found {node.what}")
    faults: list[str] = []
    pairs = [
        (collected(faults, TEXT.read, key), collected(faults, _IANA_ZONE.read, value))
        for key, value in node.entries
    ]
    if faults:
        raise ConfigurationError(faults)
    return tuple((pattern, zone) for pattern, zone in pairs if pattern is not None and zone is not None)


def _read_worker_time_zones(node: Node) -> tuple[tuple[str, str], ...]:
    if node.shape == "text":
        return (("*", _IANA_ZONE.read(node)),)
    if node.shape != "mapping":
        raise node.fault(
            f"expected an IANA time zone such as UTC, or a mapping such as {{htex: UTC}}, found {node.what}"
        )
    return _zones_by("executor patterns", node)


def _iana_zone(text: str) -> str:
    if text == LOCAL:
        raise ValueError(f"{LOCAL} is the zone of the exporter; give an IANA name such as America/Chicago")
    return _time_zone(text)


def _shard(text: str) -> Shard:
    index, slash, count = text.partition("/")
    if slash and all(re.fullmatch(r"[0-9]{1,6}", part) for part in (index, count)):
        shard = Shard(int(index), int(count))
        if 1 <= shard.part <= shard.parts:
            return shard
    raise ValueError(f"expected I/N with I from 1 to N, such as 1/3, found {shown(text)}")


def _address(text: str) -> str:
    split_address(text)
    return text


def _telemetry_path(text: str) -> str:
    if re.fullmatch(r"/[A-Za-z0-9._~/-]*", text) is None:
        raise ValueError(f"expected a path that begins with /, such as /metrics, found {shown(text)}")
    if text in OWN_PATHS:
        raise ValueError(f"{text} is the exporter's own page; give another path, such as /metrics")
    return text


def _sqlite_url(url: URL) -> str | None:
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        return "give the driver's name as sqlite"
    if url.host or url.username or url.password or url.port:
        return "a file has no host and no user: write sqlite:////absolute/path or sqlite:///relative/path"
    if url.query or (url.database or "").startswith("file:"):
        return "options are not accepted: write sqlite:////absolute/path"
    if url.database in (None, "", ":memory:"):
        return "a database in memory cannot be shared: write sqlite:////absolute/path"
    return None


def _postgresql_url(url: URL) -> str | None:
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        return "give the driver's name as postgresql or postgresql+psycopg"
    if not url.database:
        return "it names no database: write postgresql://user@host/database"
    if find_spec("psycopg") is None:
        return f"its driver is not installed: {to_install('psycopg[binary]')}"
    return None


# What is wrong with a URL of each dialect that can be read, or None.
DIALECTS: dict[str, Callable[[URL], str | None]] = {
    "sqlite": _sqlite_url,
    "postgresql": _postgresql_url,
}


def _database_url(text: str) -> str:
    from sqlalchemy import make_url  # noqa: PLC0415  # takes half a second, and most sources are paths
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    # No message shows the URL: where its password ends is uncertain in just those that are wrong.
    if not all("!" <= c <= "~" for c in text):
        raise ValueError("this URL holds a space or a special character; write it as %20 and so on")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is no database URL; give one such as sqlite:////folder/monitoring.db") from None
    dialect = url.get_backend_name()
    if dialect not in DIALECTS:
        supported = ", ".join(DIALECTS)
        raise ValueError(f"{shown(dialect)} is not supported by this version; supported: {supported}")
    # Whatever follows a login that ends too soon, the rest of a password too, counts as host or database.
    if dialect != "sqlite" and "@" in text and (text.count("@") > 1 or url.username is None):
        raise ValueError("this URL has an @ that does not end its login: write @ as %40 and / as %2F")
    wrong = DIALECTS[dialect](url)
    if wrong is not None:
        raise ValueError(f"this {dialect} URL cannot be used: {wrong}")
    return text


DURATION = scalar("duration", A_DURATION, _positive_duration, ("text", "number"))
COUNT = scalar("whole number", "a whole number from 1", _count, ("number",))
TEXT = scalar("text", "text", _encodable_text)
PATH = scalar("path", "a path", _path)
DATABASE_URL = scalar("URL", "a database URL", _database_url)
TIME_ZONE = scalar("time zone", f"an IANA time zone such as America/Chicago, or {LOCAL}", _time_zone)
_IANA_ZONE = scalar("time zone", "an IANA time zone such as America/Chicago", _iana_zone)
RUN_TIME_ZONES = SettingType("mapping of patterns to time zones", partial(_zones_by, "host patterns"))
WORKER_TIME_ZONES = SettingType("time zone, or mapping of patterns to time zones", _read_worker_time_zones)
ADDRESSES = one_or_list(
    listed("list of addresses", scalar("address", "host:port", _address, _WORDS), least=1)
)
TELEMETRY_PATH = scalar("path", "a path that begins with /", _telemetry_path)
SHARD = scalar("I/N", "I/N, such as 1/3", _shard)
_BOUND = scalar("number", "a finite decimal number", _bound, ("number",))
BOUNDS = listed("list of increasing numbers", _BOUND, least=1, increasing=True)
SWITCH = scalar("true or false", "true or false", _switch, ("other",))
FAILURE_REASONS = listed(
    "list of class names", scalar("class name", "the name of an exception class", _reason)
)
_HIDDEN_LIST = listed(f"list of {', '.join(HIDEABLE)}", scalar("label", "a label", _hideable))
HIDDEN_LABELS = SettingType(_HIDDEN_LIST.name, lambda node: frozenset(_HIDDEN_LIST.read(node)))
