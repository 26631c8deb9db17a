"""A YAML file as plain values that know their line and key, so that every fault can name its place."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.base.redaction import hide_passwords, shown

Shape = Literal["text", "number", "nothing", "list", "mapping", "other"]

LARGEST_FILE = 1_000_000  # bytes
DEEPEST = 16  # lists and mappings within each other

# YAML 1.2's decimal numbers. PyYAML reads YAML 1.1, in which 1e3 is text, 010 is eight and 1:30 is ninety.
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Node:
    """One value and where it stands.

    `place` is a file and line, a flag or an argument; `key` the path of keys to it, such as
    `sources[0].timezone` (empty for a whole file or a flag); `what` names the value's kind in a message.
    `text` is a scalar as it is written, `items` a list's values, `entries` a mapping's keys and values.
    """

    place: str
    key: str
    shape: Shape
    what: str
    text: str = ""
    items: tuple[Node, ...] = ()
    entries: tuple[tuple[Node, Node], ...] = ()

    def fault(self, message: str) -> ConfigurationError:
        """The error that this value is wrong, on one line and without passwords."""
        return _fault(": ".join(part for part in (self.place, self.key, message) if part))


def one_line(text: str) -> str:
    """`text` without passwords, each character that is not printable escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in hide_passwords(text))


def given_text(place: str, text: str) -> Node:
    """A flag's or an argument's value."""
    return Node(place, "", "text", "text", text)


def given_list(place: str, texts: Sequence[str]) -> Node:
    """The values of a flag that may be repeated."""
    return Node(place, "", "list", "a list", items=tuple(given_text(place, text) for text in texts))


def read_file(path: Path) -> Node:
    """The one document of the YAML file at `path`; a file without any is `nothing`.

    Raises ConfigurationError for a file that cannot be read and for what a configuration has no need of:
    aliases (a few lines of them can stand for gigabytes), further documents, deep nesting.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _fault(f"{path}: is a folder; expected a YAML file")
        # Opening a FIFO would wait for its writer for ever.
        if not stat.S_ISREG(mode):
            raise _fault(f"{path}: is no regular file; expected a YAML file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _fault(f"{path}: there is no such file") from None
    except PermissionError:
        raise _fault(f"{path}: permission denied; make it readable for the exporter's user") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no name of a file"
        raise _fault(f"{path}: cannot be read: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise _fault(f"{path}: is larger than {LARGEST_FILE} bytes; expected a YAML file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _fault(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8") from None
    return read_text(text, str(path))


def read_text(text: str, name: str) -> Node:
    """As `read_file`, of text; `name` stands for the file in messages."""
    try:
        document = _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = ascii(text[error.position])
        raise _fault(f"{name}:{line}: not valid YAML: the character {character} is not allowed") from None
    except _RefusedError as refused:
        raise _fault(f"{name}:{refused.line}: {refused}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _fault(
            f"{name}:{line}: not valid YAML: {_without_content(error.problem or 'unreadable')}"
        ) from None
    except (ValueError, OverflowError):
        # PyYAML lets the errors of chr() and int() through, for "\UFFFFFFFF" and for endless version numbers.
        raise _fault(f"{name}: not valid YAML: an escape or a %YAML version has no meaning") from None
    if document is None:
        return Node(name, "", "nothing", "nothing")
    return _plain(document, name, "")


class _RefusedError(Exception):
    """Valid YAML that a configuration has no need of."""

    def __init__(self, event: yaml.Event, message: str) -> None:
        self.line = event.start_mark.line + 1 if event.start_mark else 1
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer of one document, without aliases and with a limit to the depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _RefusedError(self._next(), "aliases (*) are not accepted; repeat the value")
        if self.depth == DEEPEST:
            raise _RefusedError(self._next(), f"lists and mappings nested deeper than {DEEPEST} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        document = self.get_node() if self.check_node() else None
        if self.check_node():
            raise _RefusedError(self._next(), "a second document (---) begins here; keep one")
        return document

    def _next(self) -> yaml.Event:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        return event


def _plain(node: yaml.Node, name: str, key: str) -> Node:
    place = f"{name}:{node.start_mark.line + 1}"
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        items = tuple(_plain(item, name, f"{key}[{i}]") for i, item in enumerate(node.value))
        return Node(place, key, "list", "a list", items=items)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        entries = []
        for name_node, value_node in node.value:
            entry = _plain(name_node, name, key)
            entries.append((entry, _plain(value_node, name, f"{key}.{entry.text}" if key else entry.text)))
        return Node(place, key, "mapping", "a mapping", entries=tuple(entries))
    if not isinstance(node, yaml.ScalarNode):
        return Node(place, key, "other", "a tagged value")
    if kind in ("str", "int", "float") and node.style is None and _NUMBER.fullmatch(node.value):
        return Node(place, key, "number", "a number", node.value)
    if kind == "str":
        return Node(place, key, "text", "text", node.value)
    if kind == "null":
        return Node(place, key, "nothing", "nothing")
    named = {"bool": "true or false", "timestamp": "a date"}
    if kind in ("int", "float"):
        named[kind] = f"a number written as {shown(node.value)}"
    return Node(place, key, "other", named.get(kind, "a tagged value"), node.value)


def _fault(text: str) -> ConfigurationError:
    return ConfigurationError([one_line(text)])


def _without_content(problem: str) -> str:
    """PyYAML's message with its own token names, but not the file's words: one of them may be a password."""
    if repr("\t") in problem:
        return "a tab stands where only spaces may; indent with spaces"
    return re.sub(r"'[^']*'|\"[^\"]*\"", lambda found: _token(found[0]), problem)


def _token(quoted: str) -> str:
    return quoted if len(quoted) == 3 or quoted.startswith("'<") else "a word"
