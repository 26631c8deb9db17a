"""docs/troubleshooting.md has an entry for each message of the code, and no entry for what nothing says.

A message is found by its fixed words: what stands in the code between what varies. Any text of the package of three
words or more is taken for one, and any that is logged, raised or answered, unless the tables below say what else it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from parsl_exporter.config.settings import table as settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "exporter" / "parsl_exporter"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

VARIES = "…"
"""What stands in the page, and here, for the part of a message that is another one each time."""
FEWEST_WORDS = 3

ELSEWHERE = {
    "metrics/run_families.py": "help texts, in docs/metrics.md",
    "metrics/source_families.py": "help texts, in docs/metrics.md",
    "config/settings.py": "meanings of settings, in docs/configuration.md",
    "web/landing.py": "the frame of a page; what is told on it comes from sources and runs",
    "assets/steps.py": "what `assets` says to do, in whole sentences",
    "demo/workflow.py": "what the demo's workflow does",
    "model/timestamps.py": "caught: the row is counted as rejected",
    "readers/postgresql/columns.py": "SQL",
    "readers/postgresql/statements.py": "SQL",
    "readers/sqlite/columns.py": "SQL",
    "readers/sqlite/texts.py": "SQL",
}
"""Modules whose texts are no messages, and what they are."""
HELP = {"help", "description", "epilog", "usage"}
"""Arguments of argparse: `--help` shows them."""
NO_PROSE = re.compile(
    r"^\s*(?:SELECT|FROM|CASE|AND|NOT|WHERE|DISTINCT|typeof|rowid|run_id|sum|count)\b"
    r"|^(?:io\.|text/|application/|Basic |promtool|#|<pre )"
    r"|\(\?|^\(\[|json_|%Y|::|\? |= [?%]|\{[0-9]|NOT IN\b|\bIN \("
)
"""Statements, PromQL, patterns, media types and formats."""
PARTS = {
    *(setting.kind for setting in settings()),
    "a database file, a runinfo folder, a glob, or a SQLAlchemy URL",
    "a database URL",
    "a finite decimal number",
    "a tagged value",
    "an IANA time zone such as America/Chicago",
    "an IANA time zone such as America/Chicago, or …",
    "I/N, such as 1/3",
    "list of class names",
    "list of cipher suites",
    "list of names",
    "parsl-exporter … …, Python …, NumPy …",
    "time zone, or mapping of patterns to time zones",
}
"""What is expected of a value; it only stands within other messages."""
OTHERS = {
    "not a stream socket that listens",
    "does not exist",
    "no such column",
    "no such table",
    "not a database",
    "unable to open",
}
"""An error that is caught, and words of SQLite and PostgreSQL by which theirs are told apart."""

TOLD = {
    "event",
    "failed",
    "_say",
    "fault",
    "_fault",
    "_tell",
    "_plain",
    "reading",
    "succeeded",
    "debug",
    "error",
}
"""Functions that log or answer; all their texts are messages."""
RAISED = re.compile(r"(?:Error|Fault|ToCome|Busy|Replaced|Run|Gone)$")
"""Classes of errors whose texts people see."""


class Message(NamedTuple):
    """A text of the code: where it stands, and its fixed words with `VARIES` between them."""

    place: str
    text: str

    @property
    def pieces(self) -> list[str]:
        """What has to be found: the longest fixed parts, of two words or more if there are any."""
        pieces = [one for part in self.text.split(VARIES) if (one := _plain(part))]
        return [one for one in pieces if len(_words(one)) > 1] or pieces


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z][\w'-]*", text)


def _plain(text: str) -> str:
    """Without what begins and ends a part: brackets, commas and colons."""
    return " ".join(text.split()).strip(" ,;:.()[]{}'\"|/-")


def _text(node: ast.expr) -> str | None:
    """A literal with `VARIES` for what is put into it; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) or VARIES if isinstance(part, ast.Constant) else VARIES for part in node.values
        )
    return None


def _texts(node: ast.AST, told: bool = False) -> Iterator[tuple[ast.expr, str, bool]]:
    """The texts below a node, and whether each is told whatever its length."""
    if isinstance(node, ast.Expr) and _text(node.value) is not None:
        return  # a docstring
    if isinstance(node, ast.expr) and (text := _text(node)) is not None:
        yield node, text, told
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        told = name in TOLD or bool(RAISED.search(name))
        yield from _texts(node.func)
        for argument in node.args:
            yield from _texts(argument, told)
        for keyword in node.keywords:
            if keyword.arg not in HELP:
                yield from _texts(keyword.value)
        return
    inside = told and isinstance(node, (ast.List, ast.IfExp, ast.BinOp, ast.Tuple, ast.Starred))
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.JoinedStr) or isinstance(child, ast.FormattedValue):
            yield from _texts(child, inside)


@cache
def _package() -> list[tuple[Message, bool]]:
    """All texts of the package, and whether each is a message."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for node, text, told in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            prose = told or (len(_words(text)) >= FEWEST_WORDS and " " in text)
            none = module in ELSEWHERE or NO_PROSE.search(text) or text in PARTS | OTHERS or not _words(text)
            found.append((Message(f"{module}:{node.lineno}", text), prose and not none))
    return found


def messages() -> list[Message]:
    """All messages of the package."""
    return [text for text, told in _package() if told]


def _entries() -> list[list[str]]:
    """The messages of each entry of the page: the code with which a point of a list begins."""
    code = r"``.+?``(?!`)|`[^`]+`"
    found = []
    for point in re.findall(r"^- ((?:.+\n)(?:  .*\n)*)", PAGE, re.MULTILINE):
        begin = re.match(rf"((?:{code})(?:,\s+)?)+(?=:\s)", point)
        if begin is not None:
            found.append([" ".join(one.strip("`").split()) for one in re.findall(code, begin[0], re.DOTALL)])
    return found


ENTRIES = _entries()


def test_each_message_has_an_entry() -> None:
    entries = ["\n".join(entry) for entry in ENTRIES]
    lost = [
        f"{message.place}: {message.text!r}"
        for message in messages()
        if not any(all(piece in entry for piece in message.pieces) for entry in entries)
    ]
    assert not lost, "docs/troubleshooting.md has no entry for\n" + "\n".join(lost)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0][:50])
def test_each_entry_is_of_a_message(entry: list[str]) -> None:
    for text in entry:
        left = text
        for parts in _parts():
            if all(part in left for part in parts):
                pattern = r"(?<!\w)" + "(.*?)".join(map(re.escape, parts)) + r"(?!\w)"
                if found := re.search(pattern, left):
                    left = VARIES.join([left[: found.start()], *found.groups(), left[found.end() :]])
        assert not _words(left), f"nothing says {text!r}: {left!r}"


@cache
def _parts() -> list[tuple[str, ...]]:
    """The fixed parts of each text of more than one word, and of each message; the longest first."""
    found = {
        tuple(one for part in text.text.split(VARIES) if (one := _plain(part)))
        for text, told in _package()
        if told or len(_words(text.text)) > 1
    }
    return sorted(found - {()}, key=lambda parts: sum(map(len, parts)), reverse=True)


def test_modules_that_are_left_out_are_there() -> None:
    assert [name for name in ELSEWHERE if not (PACKAGE / name).is_file()] == []
