"""Sockets for the addresses to listen on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.address import split_address

_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it or choose another port",
    errno.EACCES: "no permission; choose a port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose one it has, or :PORT for all",
}


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


def url_of(listener: socket.socket, scheme: str) -> str:
    """Where a person on this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
