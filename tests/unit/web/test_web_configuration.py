"""The web configuration file: what it can say, and what is said of its faults."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.yaml import read_text
from parsl_exporter.web.configuration import WebConfiguration, read_web_configuration

HASH = bcrypt.hashpw(b"secret", b"$2b$04$abcdefghijklmnopqrstuu").decode()
"""Always the same, for it is in the names of tests."""
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"

Read = Callable[[str], WebConfiguration]


def quoted(file: Path) -> str:
    """A file's text as YAML's, on one line."""
    return json.dumps(file.read_text())


def context(read: Read, extra: str = "") -> ssl.SSLContext:
    tls = read(TLS + extra).tls
    assert tls
    return tls


def test_an_empty_file_asks_for_nothing(read: Read, folder: Path) -> None:
    assert read("") == WebConfiguration(files=(folder / "web.yml",))
    assert read("basic_auth_users:\n") == WebConfiguration(files=(folder / "web.yml",))


def test_files_are_looked_for_beside_the_configuration_file(
    read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert read(TLS).files == (folder / "web.yml", folder / "server.pem", folder / "server.key")


def test_one_file_may_hold_certificate_and_key(read: Read) -> None:
    assert read("tls_server_config: {cert_file: both.pem, key_file: both.pem}").tls


def test_certificate_and_key_may_stand_in_the_file_itself(read: Read, folder: Path) -> None:
    files = read(f"tls_server_config: {{cert: {quoted(folder / 'server.pem')}, key_file: server.key}}").files
    assert files == (folder / "web.yml", folder / "server.key")
    tls = read(
        f"tls_server_config:\n  cert: {quoted(folder / 'server.pem')}\n  key: {quoted(folder / 'server.key')}\n"
        f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca: {quoted(folder / 'ca.pem')}\n"
    ).tls
    assert tls
    assert len(tls.get_ca_certs()) == 1


def test_no_fault_shows_a_key_that_stands_in_the_file(read: Read, folder: Path) -> None:
    for key in ("other.key", "locked.key"):
        with pytest.raises(ConfigurationError) as caught:
            read(f"tls_server_config: {{cert_file: server.pem, key: {quoted(folder / key)}}}")
        assert "PRIVATE" not in str(caught.value)
        assert (folder / key).read_text().splitlines()[1] not in str(caught.value)


def test_what_stands_in_the_file_leaves_no_descriptor_behind(read: Read, folder: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for certificate in ("server.pem", "junk.pem"):
        with suppress(ConfigurationError):
            read(f"tls_server_config: {{cert: {quoted(folder / certificate)}, key_file: server.key}}")
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_by_default_tls_is_at_least_1_2_and_asks_clients_for_nothing(read: Read) -> None:
    tls = context(read)
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.maximum_version == ssl.TLSVersion.TLSv1_3
    assert tls.verify_mode == ssl.CERT_NONE
    assert tls.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert tls.options & ssl.OP_NO_RENEGOTIATION


def test_versions(read: Read) -> None:
    assert context(read, "  min_version: TLS13").minimum_version == ssl.TLSVersion.TLSv1_3
    assert context(read, "  max_version: TLS12").maximum_version == ssl.TLSVersion.TLSv1_2


def test_cipher_suites_have_gos_names(read: Read) -> None:
    tls = context(
        read,
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,"
        " TLS_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false",
    )
    chosen = [suite["name"] for suite in tls.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    assert chosen == ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    assert not tls.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_every_cipher_suite_is_known_to_openssl(read: Read) -> None:
    every = [f"TLS_ECDHE_{key}_WITH_{rest}" for key in ("RSA", "ECDSA") for rest in (
        "AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256", "AES_128_CBC_SHA", "AES_256_CBC_SHA"
    )]  # fmt: skip
    tls = context(read, f"  cipher_suites: [{', '.join(every)}]")
    assert len([suite for suite in tls.get_ciphers() if suite["protocol"] != "TLSv1.3"]) == len(every)


def test_suites_of_tls_1_3_alone_leave_no_other_version(read: Read) -> None:
    tls = context(read, "  cipher_suites: [TLS_AES_256_GCM_SHA384]")
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_clients_can_be_asked_for_certificates(read: Read, kind: str, mode: ssl.VerifyMode) -> None:
    tls = context(read, f"  client_auth_type: {kind}\n  client_ca_file: ca.pem")
    assert tls.verify_mode == mode
    assert len(tls.get_ca_certs()) == 1


def test_names_of_clients(read: Read) -> None:
    text = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [a, b]"
    assert read(TLS + text).client_names == {"a", "b"}


def test_headers(read: Read) -> None:
    text = (
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n"
        "    Strict-Transport-Security: max-age=60\n    X-XSS-Protection: ''\n"
    )
    assert read(text).headers == (("x-frame-options", "deny"), ("strict-transport-security", "max-age=60"))


def test_users(read: Read) -> None:
    assert read(f"basic_auth_users:\n  alice: {HASH}\n  1: {HASH}").users == {"alice": HASH, "1": HASH}


CLIENT_AUTH = "client_ca_file (or client_ca) and a client_auth_type that verifies need each other"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1", "1: unknown key 'a'"),
        ("tls_config: {}", "1: unknown key 'tls_config'; did you mean tls_server_config?"),
        ("rate_limit: {}", "1: rate_limit: requests are not limited here; leave it out"),
        ("[]", "1: expected a mapping"),
        ("a: [", "1: not valid YAML"),
        ("tls_server_config: {}", "1: tls_server_config: needs both cert_file and key_file"),
        ("tls_server_config:\n  cert_file: server.pem", "needs both cert_file and key_file"),
        (
            "tls_server_config:\n  cert_file: none.pem",
            "2: tls_server_config.cert_file: {} cannot be read: No such",
        ),
        ("tls_server_config:\n  cert_file: .", "2: tls_server_config.cert_file: {} is no regular file"),
        (
            "tls_server_config:\n  cert_file: /dev/zero",
            "2: tls_server_config.cert_file: {} is no regular file",
        ),
        ("tls_server_config:\n  cert_file: ''", "2: tls_server_config.cert_file: is empty"),
        ("tls_server_config: {cert_file: junk.pem, key_file: server.key}", "no PEM certificate"),
        ("tls_server_config: {cert_file: server.pem, key_file: other.key}", "key is not the certificate's"),
        ("tls_server_config: {cert_file: server.pem, key_file: locked.key}", "the key is encrypted"),
        (TLS + "  certs: x", "4: tls_server_config: unknown key 'certs'; did you mean"),
        (TLS + "  client_ca_file: ca.pem", CLIENT_AUTH),
        (TLS + "  client_auth_type: RequireAndVerifyClientCert", CLIENT_AUTH),
        (
            TLS + "  client_auth_type: RequireAnyClientCert",
            "4: tls_server_config.client_auth_type: expected one of",
        ),
        (
            TLS + "  client_auth_type: RequestClientCert",
            "4: tls_server_config.client_auth_type: expected one of",
        ),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: junk.pem",
            "5: tls_server_config.client_ca_file: no PEM certificate could be read",
        ),
        (
            TLS
            + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n  client_allowed_sans: [a]",
            "client_allowed_sans needs the client_auth_type RequireAndVerifyClientCert",
        ),
        (TLS + "  min_version: TLS10", "4: tls_server_config.min_version: expected one of TLS12, TLS13"),
        (TLS + "  min_version: TLS13\n  max_version: TLS12", "max_version allows no version"),
        (TLS + "  cipher_suites: [X]", "4: tls_server_config.cipher_suites[0]: expected one of"),
        (
            TLS + "  prefer_server_cipher_suites: 1",
            "4: tls_server_config.prefer_server_cipher_suites: expected true",
        ),
        ("http_server_config: {http2: maybe}", "1: http_server_config.http2: expected true or false"),
        (
            "http_server_config: {headers: {X-Other: a}}",
            "1: http_server_config.headers: unknown key 'X-Other'",
        ),
        ("http_server_config: {headers: {X-Frame-Options: all}}", "expected deny or sameorigin"),
        ('http_server_config: {headers: {X-XSS-Protection: "a\\r\\nb: c"}}', "printable ASCII"),
        ("basic_auth_users: [a]", "1: basic_auth_users: expected a mapping"),
        ("basic_auth_users:\n  alice: secret", "2: basic_auth_users.alice: is no bcrypt hash"),
        (f"basic_auth_users:\n  a:b: {HASH}", "2: basic_auth_users: expected a user name without a colon"),
        (f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}", "3: basic_auth_users: the user 'a' is given twice"),
        (f"basic_auth_users:\n  a: {HASH.replace('$04$', '$31$')}", "2: basic_auth_users.a: the cost"),
    ],
)
def test_a_fault_is_named_by_line_and_key(read: Read, folder: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    (line,) = caught.value.faults
    assert line.startswith(f"{folder / 'web.yml'}:")
    before, _, after = fault.partition("{}")
    assert before in line
    assert after in line


def test_all_faults_are_named_at_once(read: Read) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(
            "tls_server_config:\n  min_version: 1\n  max_version: 2\nbasic_auth_users:\n  a: b\n  c: d\nx: y"
        )
    assert [line.rsplit(".yml:")[1].partition(":")[0] for line in caught.value.faults] == [
        "2",
        "3",
        "5",
        "6",
        "7",
    ]


def test_no_fault_shows_what_may_be_a_password(read: Read) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read("basic_auth_users:\n  alice: hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"web\.yml: there is no such file"):
        read_web_configuration(tmp_path / "web.yml")


LEAVES = st.sampled_from(
    ["", "true", "1", "x", "server.pem", "server.key", "ca.pem", "TLS12", HASH, "[a]", "{}"]
)
KEYS = st.sampled_from(
    (
        *(
            "tls_server_config",
            "http_server_config",
            "basic_auth_users",
            "headers",
            "http2",
            "X-Frame-Options",
        ),
        *("cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "cipher_suites", "a"),
    )
)


@given(st.dictionaries(KEYS, st.one_of(LEAVES, st.dictionaries(KEYS, LEAVES, max_size=4)), max_size=4))
def test_any_file_is_taken_or_refused_with_reasons(
    folder: Path, content: dict[str, str | dict[str, str]]
) -> None:
    lines = []
    for key, value in content.items():
        lines.append(f"{key}: {value}" if isinstance(value, str) else f"{key}:")
        lines += [f"  {name}: {leaf}" for name, leaf in value.items()] if isinstance(value, dict) else []
    file = folder / "any.yml"
    file.write_text("\n".join(lines))
    assert read_text(file.read_text(), "any").shape in ("mapping", "nothing")
    try:
        read_web_configuration(file)
    except ConfigurationError as error:
        assert error.faults
        assert all("\n" not in fault for fault in error.faults)
