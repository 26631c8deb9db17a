"""Basic authentication against bcrypt hashes."""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import secrets
from base64 import b64decode
from collections.abc import Mapping
from concurrent.futures import Executor
from http import HTTPStatus

_REMEMBERED = 100
_MOST_AT_A_TIME = 8
# Of no password; what an unknown user's is compared with, so that the time tells no user names.
_NOBODY = "$2b$10$abcdefghijklmnopqrstuuoVqVH0kAQcVYRNPbmUT0LBCtQNbyWZm"


class Authenticator:
    """Verifies passwords in `worker`, as that takes a tenth of a second, and remembers those that were right.

    What it remembers is a keyed digest: a scraper's request costs microseconds, and no password stays in memory.
    For one event loop.
    """

    def __init__(self, worker: Executor) -> None:
        self._worker = worker
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._pending: dict[bytes, asyncio.Future[bool]] = {}

    async def refusal(self, users: Mapping[str, str], authorization: str) -> HTTPStatus | None:
        """Why a request with this `Authorization` header is not served, None if it is.

        401 if it names none of `users` (hash by name) with their password; 503 if too many others are
        being verified, as guessing must not keep a scrape waiting.
        """
        login = _login(authorization)
        if login is None:
            return HTTPStatus.UNAUTHORIZED
        name, password = login
        hashed = users.get(name, _NOBODY)
        digest = hashlib.blake2b(repr((name, hashed, password)).encode(), key=self._key).digest()
        if digest in self._right:
            return None
        if digest not in self._pending:
            if len(self._pending) >= _MOST_AT_A_TIME:
                return HTTPStatus.SERVICE_UNAVAILABLE
            verifying = asyncio.get_running_loop().run_in_executor(self._worker, _matches, password, hashed)
            self._pending[digest] = verifying
            verifying.add_done_callback(lambda _: self._pending.pop(digest))
        right = await asyncio.shield(self._pending[digest]) and name in users
        if not right:
            return HTTPStatus.UNAUTHORIZED
        self._right[digest] = None
        if len(self._right) > _REMEMBERED:
            del self._right[next(iter(self._right))]
        return None


def _login(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 # an extra: needed only where there are users

    try:
        # bcrypt is defined over 72 bytes; other programs ignore the rest, this library refuses it.
        return bcrypt.checkpw(password[:72], hashed.encode())
    except ValueError:
        return False
