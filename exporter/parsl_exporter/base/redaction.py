"""Keeps passwords out of everything that a person or another program may read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

HIDDEN = "***"

# `password=secret`, in a URL's query or in a libpq connection string, which may quote the secret.
_ASSIGNED = re.compile(
    r"((?:password|passwd|passphrase|pwd)=)('(?:[^'\\]|\\.)*'|[^ \t\r\n\f\v&]*)", re.IGNORECASE | re.DOTALL
)
_LOGIN_FIRST = re.compile(r"(//)?[^/:@]*:[^@]*@")
_WORD_BREAK = re.compile(r"([ \t\r\n\f\v]+)")


def hide_passwords(text: str) -> str:
    """`text` with `***` for the secret of each `scheme://user:secret@host` and `password=secret`.

    Takes time linear in the text. Where a URL's end is in doubt it hides too much rather than too little:
    everything from the first colon after `://` to the last `@` before a space.
    """
    if "://" in text and "@" in text:
        text = "".join(_without_login(word) for word in _WORD_BREAK.split(text))
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def public(url: URL) -> str:
    """A database's URL as people may see it: without user, password and query."""
    return (
        type(url)
        .create(url.drivername, host=url.host, port=url.port, database=url.database)
        .render_as_string()
    )


def may_begin_with_login(text: str) -> bool:
    """Say whether a text that is taken for a path begins as `scheme:/user:secret@host` or `user:secret@host` does."""
    return _LOGIN_FIRST.match(text) is not None


def _without_login(word: str) -> str:
    scheme = word.find("://")
    colon = word.find(":", scheme + 3)
    host = word.rfind("@")
    if scheme < 0 or not scheme < colon < host:
        return word
    return f"{word[: colon + 1]}{HIDDEN}{word[host:]}"


def shown(text: str, limit: int = 80) -> str:
    """`text` in quotes on one line, for a message: cut to `limit`, and not at all if it may hold a login."""
    if "://" in text or re.search(r":[^@]*@", text):
        return "a URL (not shown)"
    text = hide_passwords(text)
    return repr(text if len(text) <= limit else f"{text[:limit]}...")
