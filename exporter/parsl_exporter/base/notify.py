"""What a service manager is told of the process, as sd_notify(3) has it.

The protocol is a datagram of lines to a socket that the environment names. A library would be no shorter: sdnotify
knows no watchdog, and systemd-python is compiled against libsystemd.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress

_SECONDS = 1
"""A manager that is so busy is told nothing: it must not hold up the process."""
_NUMBER = re.compile(r"[0-9]{1,18}")


class Notifier:
    """Tells the service manager that `environment` names; without one nothing is sent.

    Every call is quick and raises nothing. Any thread may call; the texts are one line each.
    """

    def __init__(self, environment: Mapping[str, str], pid: int | None = None) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # The name of an abstract socket begins with a zero byte, which no environment can hold.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name if name.startswith("/") else ""
        self._sender = _sender() if self._address else None
        self._status = ""
        self.there = self._sender is not None
        """Whether there is a manager that wants to be told."""
        self.watchdog = _watchdog(environment, pid or os.getpid()) if self.there else None
        """Seconds within which `alive` is to be called again and again; None where nobody waits for it."""

    def ready(self, status: str) -> None:
        """The process serves, or does so again after `reloading`."""
        self._status = status
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """How the process fares, for people; said again only when it has changed."""
        if text != self._status:
            self._status = text
            self._send(_status(text))

    def reloading(self) -> None:
        """The process reads its configuration again, until it says that it is `ready`."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The process ends."""
        self._send("STOPPING=1", "STATUS=ending")

    def alive(self) -> None:
        """The process works. Waits for nobody: the next call comes soon."""
        self._send("WATCHDOG=1", flags=socket.MSG_DONTWAIT)

    def _send(self, *lines: str, flags: int = 0) -> None:
        if self._sender is not None:
            with suppress(OSError):
                self._sender.sendto(
                    "\n".join(lines).encode("utf-8", "backslashreplace"), flags, self._address
                )


def _sender() -> socket.socket:
    """A socket for as long as the process lives: where clients take the last descriptors, it is still there."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SECONDS, 0))
    return sender


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _watchdog(environment: Mapping[str, str], pid: int) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    if _NUMBER.fullmatch(microseconds) is None or not int(microseconds):
        return None
    return int(microseconds) / 1e6 if environment.get("WATCHDOG_PID", str(pid)) == str(pid) else None
