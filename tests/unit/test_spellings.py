"""How durations and addresses are spelled."""

from __future__ import annotations

import pytest

from parsl_exporter.config.address import split_address
from parsl_exporter.config.duration import duration


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("250ms", 0.25),
            ("1s", 1),
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("1d", 86400),
            ("1w", 604800),
            ("1y", 31536000),
            ("1h0m5s10ms", 3605.01),
            ("0", 0),
            ("0s", 0),
        ],
    )
    def test_is_read_as_prometheus_reads_it(self, text: str, seconds: float) -> None:
        assert duration(text) == seconds

    @pytest.mark.parametrize(
        "text", ["", "5", "1.5h", "-1s", "1m1h", "1s1s", "1 s", "1S", "inf", "\u0661s", "1s\n"]
    )
    def test_anything_else_says_what_is_expected(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"is no duration; give a duration such as 250ms, 30s, 1h30m"):
            duration(text)

    @pytest.mark.parametrize("text", ["293y", "9" * 5000 + "s"])
    def test_is_no_longer_than_prometheus_allows(self, text: str) -> None:
        with pytest.raises(ValueError, match="longer than 292 years"):
            duration(text)


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("127.0.0.1:9678", ("127.0.0.1", 9678)),
            (":9678", ("", 9678)),
            ("localhost:0", ("localhost", 0)),
            ("node-1.example.org:80", ("node-1.example.org", 80)),
            ("[::1]:9678", ("::1", 9678)),
            ("[fe80::1%eth0]:9678", ("fe80::1%eth0", 9678)),
        ],
    )
    def test_is_split(self, text: str, address: tuple[str, int]) -> None:
        assert split_address(text) == address

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "9678",
            "host",
            "host:",
            "host:65536",
            "host:-1",
            "host:http",
            "h:\u0663",
            "h:80/metrics",
            "http://h:80",
            "a b:80",
            "::1:9678",
            "[::1]",
            "[x]:1",
            "[1.2.3.4]:80",
            "1.2.3:4",
            "300.1.1.1:80",
        ],
    )
    def test_anything_else_says_what_is_expected(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"; give host:port, \[IPv6 address\]:port or :port"):
            split_address(text)

    def test_an_ipv6_address_without_brackets_is_told_of_them(self) -> None:
        with pytest.raises(ValueError, match="'::1:9678' needs brackets around its IPv6 address"):
            split_address("::1:9678")
