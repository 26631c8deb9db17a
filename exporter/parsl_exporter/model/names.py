"""What a value out of the database becomes as a label value."""

from __future__ import annotations

import hashlib

UNKNOWN = "unknown"
OTHER = "_other"
HIDDEN = "hidden"
LONGEST = 200
_DIGEST = 8
_CACHED = 10_000


def name(value: object) -> str:
    """Give the label value for `value`: `unknown` for NULL and the empty text, never more than 200 characters.

    A longer text keeps its beginning and ends in `~` and a digest of the whole, so that two stay two.
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        text = value
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "backslashreplace")
    else:
        text = str(value)
    if not text:
        return UNKNOWN
    if len(text) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST]
        return f"{text[: LONGEST - _DIGEST - 1]}~{digest}"
    return text


class Names(dict[object, str]):
    """`name` for the many rows that repeat few values. Only texts are kept: to a dict, 0 is 0.0."""

    def __missing__(self, value: object) -> str:
        text = name(value)
        if isinstance(value, str):
            if len(self) >= _CACHED:
                self.clear()
            self[value] = text
        return text


class Codebook:
    """Label values as small numbers. 0 is `unknown`; `texts[code]` is the label value."""

    def __init__(self) -> None:
        self.texts = [UNKNOWN]
        self._codes = {UNKNOWN: 0}

    def code(self, text: str) -> int:
        """Give the number of a label value."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return code
