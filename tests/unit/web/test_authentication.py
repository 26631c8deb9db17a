"""Whose password is verified when, at what cost, and what is said of wrong ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from http import HTTPStatus
from typing import Any

import bcrypt
import pytest
from support.web_asking import login

from parsl_exporter.web.authentication import Authenticator

HASHES = {
    cost: bcrypt.hashpw(b"secret", f"$2b${cost:02}$abcdefghijklmnopqrstuu".encode()).decode()
    for cost in (4, 5)
}
REFUSED, BUSY = HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE


class Worker(Executor):
    """Notes what it is given to verify, and does it when it is told to."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.waiting: list[Callable[[], None]] = []

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        self.hashes.append(given[1])
        self.waiting.append(lambda: done.set_result(call(*given, **named)))
        return done

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Door:
    """Those who ask to be let in, one after the other, at a time that is given."""

    def __init__(self, users: dict[str, str]) -> None:
        self.users = users
        self.worker = Worker()
        self.now = 0.0
        self.authenticator = Authenticator(self.worker, clock=lambda: self.now)

    def knock(self, name: str, password: str, client: str = "192.0.2.1") -> asyncio.Task[HTTPStatus | None]:
        return asyncio.create_task(self.authenticator.refusal(self.users, login(name, password), client))

    async def asked(self, name: str, password: str, client: str = "192.0.2.1") -> HTTPStatus | None:
        knocking = self.knock(name, password, client)
        await asyncio.sleep(0)
        self.worker.work()
        return await knocking


def cost(hashed: str) -> int:
    return int(hashed[4:6])


def test_an_unknown_user_costs_as_much_as_one_of_the_users() -> None:
    door = Door({"alice": HASHES[5], "bob": HASHES[5]})

    async def ask() -> None:
        for name in ("alice", "nobody", "somebody"):
            assert await door.asked(name, "wrong") is REFUSED

    asyncio.run(ask())
    assert [cost(hashed) for hashed in door.worker.hashes] == [5, 5, 5]


def test_where_users_cost_different_unknown_ones_do_too_and_each_always_the_same() -> None:
    door = Door({"alice": HASHES[4], "bob": HASHES[5]})
    names = [f"user-{number}" for number in range(64)]

    async def ask() -> None:
        for password in ("one", "two"):
            for name in names:
                assert await door.asked(name, password) is REFUSED

    asyncio.run(ask())
    costs = [cost(hashed) for hashed in door.worker.hashes]
    assert set(costs) == {4, 5}
    assert costs[: len(names)] == costs[len(names) :]


def test_a_right_password_is_verified_once() -> None:
    door = Door({"alice": HASHES[4]})

    async def ask() -> None:
        for _ in range(3):
            assert await door.asked("alice", "secret") is None

    asyncio.run(ask())
    assert len(door.worker.hashes) == 1


def test_a_wrong_one_is_verified_each_time() -> None:
    door = Door({"alice": HASHES[4]})

    async def ask() -> None:
        for _ in range(3):
            assert await door.asked("alice", "wrong") is REFUSED

    asyncio.run(ask())
    assert len(door.worker.hashes) == 3


def test_one_client_s_guesses_are_turned_away_before_they_take_all_the_room() -> None:
    door = Door({"alice": HASHES[4]})

    async def ask() -> None:
        guesses = [door.knock("alice", str(number)) for number in range(50)]
        await asyncio.sleep(0)
        newcomer = door.knock("alice", "secret", "192.0.2.2")
        await asyncio.sleep(0)
        door.worker.work()
        answers = [await guess for guess in guesses]
        assert (answers.count(REFUSED), answers.count(BUSY)) == (4, 46)
        assert await newcomer is None
        assert await door.asked("alice", "wrong") is REFUSED  # there is room again

    asyncio.run(ask())


def test_many_clients_guesses_are_turned_away_and_a_known_login_is_not() -> None:
    door = Door({"alice": HASHES[4]})

    async def ask() -> None:
        assert await door.asked("alice", "secret") is None
        guesses = [door.knock("alice", str(n), f"192.0.2.{n}") for n in range(50)]
        await asyncio.sleep(0)
        assert await door.knock("alice", "secret") is None
        door.worker.work()
        answers = [await guess for guess in guesses]
        assert (answers.count(REFUSED), answers.count(BUSY)) == (8, 42)

    asyncio.run(ask())


def test_wrong_passwords_are_a_line_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parsl_exporter.web")
    door = Door({"alice": HASHES[4]})

    async def ask() -> None:
        for second, name in ((0, "alice"), (1, "alice"), (59, "alice"), (60, "my-password"), (61, "alice")):
            door.now = second
            assert await door.asked(name, "wrong") is REFUSED

    asyncio.run(ask())
    assert [getattr(record, "fields", None) for record in caplog.records] == [
        {"count": 1, "client": "192.0.2.1", "user": "alice"},
        {"count": 3, "client": "192.0.2.1"},
    ]


@pytest.mark.parametrize("header", ["", "Basic", "Bearer abc", "Basic !"])
def test_who_gives_no_password_costs_nothing_and_is_not_in_the_log(
    header: str, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door({"alice": HASHES[4]})
    assert asyncio.run(door.authenticator.refusal(door.users, header, "192.0.2.1")) is REFUSED
    assert (door.worker.hashes, caplog.records) == ([], [])
