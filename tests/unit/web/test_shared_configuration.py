"""Web configuration files as exporter-toolkit's documentation and own tests shape them: each is taken, or refused
with the reason. What they name is named; keys and hashes are our own.

Seven that exporter-toolkit takes are refused here, each where a client would otherwise be less safe, or slower, than
its file says: client certificates that nobody checks, or of which no authority is named (Go would take the machine's,
so any of the web's), the choice of curves, a rate limit, and hashes that take seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.web.configuration import WebConfiguration

Read = Callable[[str], WebConfiguration]

HASH = bcrypt.hashpw(b"secret", b"$2b$04$abcdefghijklmnopqrstuu").decode()
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
CHECKED = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
IF_GIVEN = "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"
SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "
    "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, "
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
)
HEADERS = (
    "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n"
    "    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-XSS-Protection: 1\n"
    "    Content-Security-Policy: \"default-src 'self' *.example.org\"\n"
)

TAKEN = {
    "empty": "",
    "requireandverifyclientcert": TLS + CHECKED,
    "noAuth, with an authority": TLS + IF_GIVEN,
    "allCiphers": TLS + f"  cipher_suites: [{SUITES}]\n",
    "someCiphers": TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  min_version: TLS12\n"
    "  max_version: TLS12\n",
    "someCiphers_noOrder": TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n",
    "noHTTP2": TLS + "  max_version: TLS12\nhttp_server_config: {http2: false}\n",
    "noHTTP2Cipher, refused there as HTTP/2 needs others": TLS
    + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12\n",
    "client_san": TLS + CHECKED + "  client_allowed_sans: [scraper.example.org, 192.0.2.1]\n",
    "headers": HEADERS,
    "users": TLS + f"basic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n",
    "users_noTLS": f"basic_auth_users:\n  alice: {HASH.replace('$2b$', '$2y$')}\n",
}

REFUSED = {
    "junk": ("abcdef\nghijkl\n", "expected a mapping"),
    "junk_key": ("tls_server_config: {cert_filse: server.pem}", "did you mean cert_file?"),
    "cert_empty": ("tls_server_config: {cert: '', key_file: server.key}", "tls_server_config.cert: is empty"),
    "key_empty": ("tls_server_config: {cert_file: server.pem, key: ''}", "tls_server_config.key: is empty"),
    "certPath_empty": ("tls_server_config: {cert_file: '', key_file: server.key}", "cert_file: is empty"),
    "keyPath_empty": ("tls_server_config: {cert_file: server.pem, key_file: ''}", "key_file: is empty"),
    "certPath_invalid": (
        "tls_server_config: {cert_file: some, key_file: server.key}",
        "cannot be read: No such",
    ),
    "keyPath_invalid": (
        "tls_server_config: {cert_file: server.pem, key_file: some}",
        "cannot be read: No such",
    ),
    "auth_clientCAs_invalid": (TLS + "  client_ca_file: some\n", "client_ca_file: {} cannot be read"),
    "auth_clientCAs_missing": (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", "need each other"),
    "noAuth": (TLS + "  client_ca_file: /dev/null\n", "client_ca_file: '/dev/null' is no regular file"),
    "auth_client_san": (TLS + "  client_allowed_sans: [a.example.org]\n", "client_allowed_sans needs"),
    "wrongTLSVersion": (TLS + "  min_version: TLS111\n", "min_version: expected one of TLS12, TLS13"),
    "inventedCiphers": (
        TLS + "  cipher_suites: [TLS_ECDHE_WITH_SHA2048]\n",
        "cipher_suites[0]: expected one of",
    ),
    "headers_frame_options": (
        "http_server_config: {headers: {X-Frame-Options: foo}}",
        "expected deny or same",
    ),
    "headers_content_type_options": (
        "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
        "expected nosniff",
    ),
    "headers_extra_header": (
        "http_server_config: {headers: {Content-Type: foo}}",
        "unknown key 'Content-Type'",
    ),
    "auth_user_list_invalid": (
        TLS + "basic_auth_users: {john: doe}\n",
        "basic_auth_users.john: is no bcrypt",
    ),
    "cert and cert_file": (TLS + "  cert: x\n", "give cert or cert_file, not both"),
    "auth_excluded_paths, of other servers": ("auth_excluded_paths: [/-/healthy]", "unknown key"),
}

TAKEN_BY_OTHERS = {
    "requireanyclientcert": (
        TLS + "  client_auth_type: RequireAnyClientCert\n",
        "client_auth_type: expected one",
    ),
    "RequestClientCert": (
        TLS + "  client_auth_type: RequestClientCert\n",
        "client_auth_type: expected one of",
    ),
    "noAuth, without an authority": (
        TLS + "  client_auth_type: VerifyClientCertIfGiven\n",
        "need each other",
    ),
    "allCurves": (
        TLS + "  curve_preferences: [CurveP256, X25519]\n",
        "curve_preferences: curves are OpenSSL's",
    ),
    "inventedCurves": (TLS + "  curve_preferences: [CurveP257]\n", "curve_preferences: curves are OpenSSL's"),
    "rate_limiter": ("rate_limit: {interval: 1s, burst: 1}", "rate_limit: requests are not limited here"),
    "users, of cost 18": (
        f"basic_auth_users: {{bob: {HASH.replace('$04$', '$18$')}}}",
        "the cost of a bcrypt",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken(read: Read, folder: Path, name: str) -> None:
    given = read(TAKEN[name])
    assert (given.tls is not None) == ("tls_server_config" in TAKEN[name])
    assert bool(given.users) == ("basic_auth_users" in TAKEN[name])


def test_certificates_within_it_are_taken(read: Read, folder: Path) -> None:
    certificate, key = (json.dumps((folder / name).read_text()) for name in ("server.pem", "server.key"))
    assert read(f"tls_server_config: {{cert: {certificate}, key: {key}}}").tls


@pytest.mark.parametrize("name", REFUSED | TAKEN_BY_OTHERS)
def test_it_is_refused_with_the_reason(read: Read, name: str) -> None:
    text, reason = (REFUSED | TAKEN_BY_OTHERS)[name]
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    before, _, after = reason.partition("{}")
    assert before in str(caught.value)
    assert after in str(caught.value)
