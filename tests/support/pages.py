"""The fenced blocks of the documentation."""

from __future__ import annotations

import re
from typing import NamedTuple

from support.exporter_process import ROOT


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        return [one.removeprefix("$ ") for one in self.text.splitlines() if one.startswith("$ ")]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(kind: str, *pages: str) -> list[Block]:
    """All blocks of a kind on these pages."""
    found = []
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for one in re.finditer(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found.append(Block(page, text.count("\n", 0, one.start()) + 1, one[1]))
    return found


def block_with(part: str, kind: str, page: str) -> str:
    """The text of the one block of a kind on a page that has this in it."""
    (found,) = (one.text for one in blocks(kind, page) if part in one.text)
    return found
