"""Addresses to listen on, spelled `host:port` as Prometheus exporters do."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Sequence

from parsl_exporter.errors import ConfigurationError

_ADDRESS = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})")

_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it or choose another port",
    errno.EACCES: "no permission; choose a port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose one it has, or :PORT for all",
}


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[IPv6]:port` or `:port` (every interface; the host is then empty).

    Raises:
        ConfigurationError: it is none of these.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ConfigurationError(
            [f"listen address {address!r}: expected HOST:PORT, such as 127.0.0.1:9678, [::1]:9678 or :9678"]
        )
    return match["six"] or match["host"] or "", int(match["port"])


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """A bound socket for each address, all or none. Port 0 is any free port.

    Of a name with several addresses the first IPv4 one is taken, as Go's servers do.

    Raises:
        ConfigurationError: with one line for each address that cannot be listened on.
    """
    sockets: list[socket.socket] = []
    faults: list[str] = []
    for address in addresses:
        try:
            sockets.append(_listen(*split_address(address)))
        except ConfigurationError as error:
            faults += error.faults
        except (socket.gaierror, UnicodeError):
            faults.append(f"listen address {address!r}: this host name is not known; use an IP address")
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, error.strerror)
            faults.append(f"listen address {address!r}: {advice}")
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
