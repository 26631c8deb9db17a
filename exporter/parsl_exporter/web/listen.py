"""Sockets to listen on: for addresses, or as a service manager passes them on."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping, Sequence

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.base.redaction import shown
from parsl_exporter.config.address import split_address

_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it or choose another port",
    errno.EACCES: "no permission; choose a port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose one it has, or :PORT for all",
}

_FIRST_PASSED = 3
_COUNT = re.compile(r"[0-9]{1,4}")


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """A listening socket for each address (as `split_address` takes them), all or none.

    Of a name with several addresses the first IPv4 one is taken, as Go's servers do.

    Raises:
        ConfigurationError: with one line for each address that cannot be listened on.
    """
    sockets: list[socket.socket] = []
    faults: list[str] = []
    for address in addresses:
        try:
            sockets.append(_listen(*split_address(address)))
        except (socket.gaierror, UnicodeError):
            faults.append(f"cannot listen on {address}: this host name is not known; use an IP address")
        except ValueError as error:
            faults.append(f"cannot listen on an address: {error}")
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, error.strerror)
            faults.append(f"cannot listen on {address}: {advice}")
    if faults:
        for opened in sockets:
            opened.close()
        raise ConfigurationError(faults)
    return sockets


def passed_on(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that a service manager has opened for this process, as sd_listen_fds(3) has it.

    They are TCP (IPv4 and IPv6) and unix sockets, any number of them.

    Raises:
        ConfigurationError: there are none, or with one line for each that is something else.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or _COUNT.fullmatch(count) is None or not int(count):
        raise ConfigurationError(
            [
                "no socket was passed on; leave out --web.systemd-socket, or have systemd start its .socket unit"
            ]
        )
    names = dict(enumerate(environment.get("LISTEN_FDNAMES", "").split(":")))
    sockets: list[socket.socket] = []
    faults: list[str] = []
    for number in range(int(count)):
        try:
            sockets.append(_passed_on(_FIRST_PASSED + number))
        except OSError:
            name = f" ({shown(names[number])})" if names.get(number) else ""
            faults.append(
                f"descriptor {_FIRST_PASSED + number} that was passed on{name} is no stream socket that listens; "
                "name it with ListenStream= and without Accept=yes"
            )
    if faults:
        raise ConfigurationError(faults)
    return sockets


def url_of(listener: socket.socket, scheme: str) -> str:
    """Where a person on this machine reaches the listener; of a unix socket its path, or `@` and an abstract name."""
    if listener.family == socket.AF_UNIX:
        name = os.fsdecode(listener.getsockname())
        return f"{scheme}+unix:{'@' + name[1:] if name.startswith(chr(0)) else name}"
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _passed_on(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    found = socket.socket(fileno=descriptor)
    if (
        found.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        or found.type != socket.SOCK_STREAM
        or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        found.close()
        raise OSError(errno.EINVAL, "not a stream socket that listens")
    return found


def _listen(host: str, port: int) -> socket.socket:
    if not host:
        return _every_interface(port)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
    return socket.create_server(where[:2], family=family)


def _every_interface(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
