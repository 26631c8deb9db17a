"""Basic authentication against bcrypt hashes."""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import logging
import secrets
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from http import HTTPStatus

from parsl_exporter.base.logs import event

log = logging.getLogger("parsl_exporter.web")

_REMEMBERED = 100
_MOST_AT_A_TIME = 8
_MOST_OF_A_CLIENT = 4
_LOG_EVERY = 60.0
# Of no password; what an unknown user's is compared with, at the cost that stands before it.
_NOBODY = "$abcdefghijklmnopqrstuuoVqVH0kAQcVYRNPbmUT0LBCtQNbyWZm"


class Authenticator:
    """Verifies passwords in `worker`, as that takes a tenth of a second, and remembers those that were right.

    What it remembers is a keyed digest: a scraper's request costs microseconds, and no password stays in memory.
    For one event loop. `clock` gives seconds that never go back.
    """

    def __init__(self, worker: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._wrong = _WrongPasswords(clock)
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._pending: dict[bytes, asyncio.Future[bool]] = {}
        self._pending_of: Counter[str] = Counter()

    async def refusal(self, users: Mapping[str, str], authorization: str, client: str) -> HTTPStatus | None:
        """Why a request with this `Authorization` header, from this host, is not served, None if it is.

        401 if it names none of `users` (hash by name) with their password; 503 if too many others are being
        verified, or too many of this client, as guessing must not keep a scrape waiting. How long it takes
        tells no user names.
        """
        login = _login(authorization)
        if login is None:
            return HTTPStatus.UNAUTHORIZED
        name, password = login
        hashed = users[name] if name in users else self._nobody(users, name)
        digest = hashlib.blake2b(repr((name, hashed, password)).encode(), key=self._key).digest()
        if digest in self._right:
            return None
        if digest not in self._pending:
            if len(self._pending) >= _MOST_AT_A_TIME or self._pending_of[client] >= _MOST_OF_A_CLIENT:
                return HTTPStatus.SERVICE_UNAVAILABLE
            verifying = asyncio.get_running_loop().run_in_executor(self._worker, _matches, password, hashed)
            self._pending[digest] = verifying
            self._pending_of[client] += 1
            verifying.add_done_callback(lambda _: self._verified(digest, client))
        right = await asyncio.shield(self._pending[digest]) and name in users
        if not right:
            self._wrong.came(client, name if name in users else None)
            return HTTPStatus.UNAUTHORIZED
        self._right[digest] = None
        if len(self._right) > _REMEMBERED:
            del self._right[next(iter(self._right))]
        return None

    def _verified(self, digest: bytes, client: str) -> None:
        del self._pending[digest]
        self._pending_of[client] -= 1
        if not self._pending_of[client]:
            del self._pending_of[client]

    def _nobody(self, users: Mapping[str, str], name: str) -> str:
        """A hash for a user that there is not, as dear as one of a user that there is: of a name always the same."""
        begins = sorted(hashed[: hashed.rindex("$")] for hashed in users.values())
        number = int.from_bytes(hashlib.blake2b(name.encode(), key=self._key, digest_size=8).digest(), "big")
        return begins[number % len(begins)] + _NOBODY


class _WrongPasswords:
    """Logs wrong passwords: the first at once, then how many there were, a line a minute at most.

    A name is logged that is a user's; another may be a password in the wrong field.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = 0
        self._logged = -_LOG_EVERY

    def came(self, client: str, user: str | None) -> None:
        """Somebody gave a wrong password."""
        self._count += 1
        now = self._clock()
        if now - self._logged < _LOG_EVERY:
            return
        about = {"client": client or "unix socket", **({} if user is None else {"user": user})}
        event(log, logging.WARNING, "wrong password", count=self._count, **about)
        self._count, self._logged = 0, now


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
