"""The web configuration file: the format that the exporters of the Prometheus project share.

The format is that of exporter-toolkit's docs/web-configuration.md. What it can say and this server cannot do
(curves, a rate limit, client certificates that nobody checks) is refused.
"""

from __future__ import annotations

import importlib.util
import os
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from parsl_exporter.base.errors import ConfigurationError, to_install
from parsl_exporter.base.redaction import shown
from parsl_exporter.config.types import TEXT, SettingType, collected, listed, plain_text, read_mapping, scalar
from parsl_exporter.config.yaml import Node, read_file

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
# Go's names, and OpenSSL's. Those of TLS 1.3 cannot be chosen, in Go neither.
_TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{theirs}": f"ECDHE-{key}-{ours}"
    for key in ("ECDSA", "RSA")
    for theirs, ours in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_HEADERS = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_HIGHEST_COST = 15


class WebConfiguration(NamedTuple):
    """What a web configuration file asks for; by default nothing.

    client_names: subject alternative names of which a client's certificate must bear one, if there are any.
    users: bcrypt hash of the password by user name; if there are any, nothing is served to others.
    headers: names in lower case and values, of every answer.
    files: those that it was read from.
    """

    tls: ssl.SSLContext | None = None
    client_names: frozenset[str] = frozenset()
    users: Mapping[str, str] = {}
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = ()


class _Pem(NamedTuple):
    """PEM text: the file that it is in, or itself."""

    node: Node
    path: Path | None
    text: str = ""


class _Tls(NamedTuple):
    context: ssl.SSLContext
    client_names: frozenset[str]
    files: tuple[Path, ...]


def read_web_configuration(path: Path) -> WebConfiguration:
    """The checked contents of the file at `path`. Paths in it start from its folder.

    Raises:
        ConfigurationError: with one line for each thing that is wrong, by file, line and key.
    """
    node = read_file(path)
    if node.shape == "nothing":
        return WebConfiguration(files=(path,))
    values = read_mapping(
        node,
        {
            "tls_server_config": partial(_read_tls, path.parent),
            "http_server_config": _read_http,
            "basic_auth_users": _read_users,
            "rate_limit": partial(_refuse, "requests are not limited here; leave it out"),
        },
    )
    tls: _Tls | None = values.get("tls_server_config")
    return WebConfiguration(
        tls=tls.context if tls else None,
        client_names=tls.client_names if tls else frozenset(),
        users=values.get("basic_auth_users", {}),
        headers=values.get("http_server_config", ()),
        files=(path, *(tls.files if tls else ())),
    )


def _one_of(choices: Mapping[str, Any]) -> SettingType[str]:
    expected = f"one of {', '.join(choices)}"

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {expected}, found {shown(text)}")
        return text

    return scalar("choice", expected, convert)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"expected true or false, found {shown(text)}")
    return text.lower() == "true"


_BOOLEAN = scalar("boolean", "true or false", _boolean, ("other",))
_NAMES = listed("list of names", TEXT, least=1)
_SUITE_LIST = listed("list of cipher suites", _one_of(_SUITES | dict.fromkeys(_TLS13_SUITES)))


def _read_tls(folder: Path, node: Node) -> _Tls:
    file = partial(_read_file_name, folder)
    values = read_mapping(
        node,
        {
            "cert": _read_pem,
            "cert_file": file,
            "key": _read_pem,
            "key_file": file,
            "client_auth_type": _one_of(_CLIENT_AUTH).read,
            "client_ca": _read_pem,
            "client_ca_file": file,
            "client_allowed_sans": _NAMES.read,
            "min_version": _one_of(_VERSIONS).read,
            "max_version": _one_of(_VERSIONS).read,
            "cipher_suites": _SUITE_LIST.read,
            "prefer_server_cipher_suites": _BOOLEAN.read,
            "curve_preferences": partial(_refuse, "curves are OpenSSL's choice here; leave it out"),
        },
    )
    certificate, key, authority = (_one_pem(node, values, name) for name in ("cert", "key", "client_ca"))
    if certificate is None or key is None:
        raise node.fault("needs both cert_file and key_file (or cert and key)")
    client_auth = values.get("client_auth_type", "NoClientCert")
    if (authority is None) != (client_auth == "NoClientCert"):
        raise node.fault("client_ca_file (or client_ca) and a client_auth_type that verifies need each other")
    names = frozenset(values.get("client_allowed_sans", ()))
    if names and client_auth != "RequireAndVerifyClientCert":
        raise node.fault("client_allowed_sans needs the client_auth_type RequireAndVerifyClientCert")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    if values.get("prefer_server_cipher_suites", True):
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = values.get("cipher_suites", ())
    chosen = [_SUITES[name] for name in suites if name in _SUITES]
    if chosen:
        context.set_ciphers(":".join(chosen))
    context.minimum_version = _VERSIONS[values.get("min_version", "TLS12")]
    context.maximum_version = _VERSIONS[values.get("max_version", "TLS13")]
    if suites and not chosen:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if context.minimum_version > context.maximum_version:
        raise node.fault("max_version allows no version from min_version and cipher_suites on")
    _load_certificate(context, certificate, key)
    if authority is not None:
        _load_authority(context, authority)
        context.verify_mode = _CLIENT_AUTH[client_auth]
    files = tuple(
        one.path for one in (certificate, key, authority) if one is not None and one.path is not None
    )
    return _Tls(context, names, files)


def _one_pem(node: Node, values: Mapping[str, Any], name: str) -> _Pem | None:
    """What is given in the file itself, or in one of its own."""
    within, beside = values.get(name), values.get(f"{name}_file")
    if within is not None and beside is not None:
        raise node.fault(f"give {name} or {name}_file, not both")
    found: _Pem | None = within or beside
    return found


@contextmanager
def _as_file(pem: _Pem) -> Iterator[Path]:
    """Its file, or one in memory that no other process finds: Python's ssl reads certificates from files alone."""
    if pem.path is not None:
        yield pem.path
        return
    with open(os.memfd_create("pem"), "wb", buffering=0) as file:  # noqa: PTH123 # it has no path
        file.write(pem.text.encode())
        yield Path(f"/proc/self/fd/{file.fileno()}")


def _load_certificate(context: ssl.SSLContext, certificate: _Pem, key: _Pem) -> None:
    def passphrase() -> str:
        raise key.node.fault("the key is encrypted; give one without a passphrase")

    try:
        with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
            context.load_cert_chain(certificate_file, key_file, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise key.node.fault("the key is not the certificate's") from None
        raise certificate.node.fault(
            f"no PEM certificate and key could be read: {error.reason or error}"
        ) from None


def _load_authority(context: ssl.SSLContext, authority: _Pem) -> None:
    try:
        with _as_file(authority) as file:
            context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise authority.node.fault(f"no PEM certificate could be read: {error.reason or error}") from None


def _refuse(reason: str, node: Node) -> None:
    raise node.fault(reason)


def _read_pem(node: Node) -> _Pem:
    return _Pem(node, None, scalar("PEM", "PEM text", plain_text).read(node))


def _read_file_name(folder: Path, node: Node) -> _Pem:
    path = folder / scalar("path", "a path", plain_text).read(node)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise node.fault(f"{shown(str(path))} is no regular file")
        with path.open("rb"):
            return _Pem(node, path)
    except OSError as error:
        raise node.fault(f"{shown(str(path))} cannot be read: {error.strerror}") from None


def _read_http(node: Node) -> tuple[tuple[str, str], ...]:
    # http2 is a permission. No client needs it, so a file that is shared with Go programs can be used as it is.
    values = read_mapping(node, {"http2": _BOOLEAN.read, "headers": _read_headers})
    headers: tuple[tuple[str, str], ...] = values.get("headers", ())
    return headers


def _read_headers(node: Node) -> tuple[tuple[str, str], ...]:
    readers = {name: partial(_read_header, choices) for name, choices in _HEADERS.items()}
    values = read_mapping(node, readers)
    return tuple((name.lower(), value) for name, value in values.items() if value)


def _read_header(choices: tuple[str, ...], node: Node) -> str:
    def convert(text: str) -> str:
        if choices and text and text.lower() not in choices:
            raise ValueError(f"expected {' or '.join(choices)}, found {shown(text)}")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("a header can hold printable ASCII characters only")
        return text.strip()

    return scalar("header", "text", convert, ("text", "number")).read(node)


def _read_users(node: Node) -> dict[str, str]:
    if node.shape == "nothing":
        return {}
    if node.shape != "mapping":
        raise node.fault(f"expected a mapping (user: hash), found {node.what}")
    if node.entries and importlib.util.find_spec("bcrypt") is None:
        raise node.fault(f"needs the bcrypt package: {to_install('bcrypt')}")
    users: dict[str, str] = {}
    faults: list[str] = []
    for name, value in node.entries:
        if name.shape not in ("text", "number") or ":" in name.text or not name.text:
            faults += name.fault("expected a user name without a colon").faults
        elif name.text in users:
            faults += name.fault(f"the user {shown(name.text)} is given twice").faults
        users[name.text] = collected(faults, scalar("hash", "a bcrypt hash", _hash).read, value) or ""
    if faults:
        raise ConfigurationError(faults)
    return users


def _hash(text: str) -> str:
    match = _HASH.fullmatch(text)
    if match is None:
        raise ValueError("is no bcrypt hash; make one with: htpasswd -nBC 10 '' | tr -d ':'")
    if not 4 <= int(match["cost"]) <= _HIGHEST_COST:
        raise ValueError(f"the cost of a bcrypt hash goes from 4 to {_HIGHEST_COST} here; 10 is usual")
    return text
