"""What each fault of a configuration file says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.config_reading import faults, faults_of

from parsl_exporter.config.load import Overrides


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exporter.yml"


def fault_in_a_process_of_its_own(file: Path, preparation: str, **environment: str) -> str:
    code = f"""
import sys
from pathlib import Path
from parsl_exporter.config.load import Overrides, load
{preparation}
try:
    load(Path({str(file)!r}), Overrides())
except Exception as error:
    print(error)
"""
    paths = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("poll_interval: 15", ":1: poll_interval: '15' is no duration; give a duration such as "),
            ("poll_interval: 0s", ":1: poll_interval: '0s' is no time at all; give a duration such as "),
            ("retention: 0", ":1: retention: '0' is no time at all"),
            ("retention: -5m", ":1: retention: '-5m' is no duration"),
            (
                "retention: [5m]",
                ":1: retention: expected a duration such as 250ms, 30s, 1h30m, 15m, 1d or 1w, found a list",
            ),
            (
                "retention:",
                ":1: retention: expected a duration such as 250ms, 30s, 1h30m, 15m, 1d or 1w, found nothing",
            ),
            ("retention: 5m\nweb:\nretention: 6m", ":3: the key 'retention' is given twice, first in line 1"),
            (
                "timezone: 5",
                ":1: timezone: expected an IANA time zone such as America/Chicago, or local, found a number",
            ),
            ("timezone: America", ":1: timezone: 'America' is no time zone"),
            (
                "sources: [{path: a.db, worker_timezone: 5}]",
                ":1: sources[0].worker_timezone: expected an IANA time zone such as UTC, or a mapping such as"
                " {htex: UTC}, found a number",
            ),
            (
                "sources: [{path: a.db, worker_timezone: local}]",
                ":1: sources[0].worker_timezone: local is the zone of the exporter; give an IANA name such as",
            ),
            (
                "sources: [{path: a.db, worker_timezone: Paris}]",
                ":1: sources[0].worker_timezone: 'Paris' is no time zone; give an IANA name such as America/Chicago",
            ),
            (
                "sources: [{path: a.db, worker_timezone: {htex: Paris}}]",
                ":1: sources[0].worker_timezone.htex: 'Paris' is no time zone; give an IANA name such as",
            ),
            (
                "sources: [{path: a.db, run_timezones: Europe/Paris}]",
                ":1: sources[0].run_timezones: expected a mapping of host patterns to time zones, found text",
            ),
            ("timezone: ../zone", ":1: timezone: '../zone' is no time zone"),
            ('timezone: ""', ":1: timezone: '' is no time zone"),
            (
                "buckets: {seconds: []}",
                ":1: buckets.seconds: expected a list of at least 1, found an empty one",
            ),
            ("buckets: {seconds: 5}", ":1: buckets.seconds: expected a list, found a number"),
            (
                "buckets:\n  seconds:\n  - 1\n  - 5\n  - 5",
                ":5: buckets.seconds[2]: expected a number greater than 5.0 before it",
            ),
            (
                "buckets: {bytes: [-1]}",
                ":1: buckets.bytes[0]: expected a finite number that is not negative, found '-1'",
            ),
            (
                "buckets: {bytes: [1e999]}",
                ":1: buckets.bytes[0]: expected a finite number that is not negative",
            ),
            (
                "buckets: {bytes: [.inf]}",
                ":1: buckets.bytes[0]: expected a finite decimal number, found a number written as '.inf'",
            ),
            ('buckets: {bytes: ["5"]}', ":1: buckets.bytes[0]: expected a finite decimal number, found text"),
            (
                "failure_reasons: [ValueError, ValueError]",
                ":1: failure_reasons[1]: 'ValueError' is given twice",
            ),
            (
                "failure_reasons: [Value Error]",
                ":1: failure_reasons[0]: expected the name of an exception class",
            ),
            ("failure_reasons: [_other]", ":1: failure_reasons[0]: _other needs no naming; leave it out"),
            ("created_samples: 0", ":1: created_samples: expected true or false, found a number"),
            ("created_samples: never", ":1: created_samples: expected true or false, found text"),
            ("created_samples: 2026-01-01", ":1: created_samples: expected true or false"),
            ("limits: {series: 0}", ":1: limits.series: expected a whole number from 1, found '0'"),
            ("limits: {series: 1.5}", ":1: limits.series: expected a whole number from 1, found '1.5'"),
            (
                "limits: {series: true}",
                ":1: limits.series: expected a whole number from 1, found true or false",
            ),
            ("limits: [1]", ":1: limits: expected a mapping (key: value), found a list"),
            (
                "web: {telemetry_path: /}",
                ":1: web.telemetry_path: / is the exporter's own page; give another path",
            ),
            (
                "web: {telemetry_path: /-/ready}",
                ":1: web.telemetry_path: /-/ready is the exporter's own page",
            ),
            ("web: {telemetry_path: '/a?b'}", ":1: web.telemetry_path: expected a path that begins with /"),
            (
                "web: {listen_address: []}",
                ":1: web.listen_address: expected a list of at least 1, found an empty one",
            ),
            ("web: {listen_address: 80}", ":1: web.listen_address: '80' has no port from 0 to 65535"),
            ("web: {listen_address: [80]}", ":1: web.listen_address[0]: '80' has no port from 0 to 65535"),
            (
                "web: {listen_address: 'http://localhost:80'}",
                ":1: web.listen_address: is a URL; give host:port",
            ),
            ("web: {listen_address: {a: 80}}", ":1: web.listen_address: expected a list, found a mapping"),
            # A key that is another place's names that place: not what it looks like here.
            (
                "worker_timezone: UTC",
                ":1: unknown key 'worker_timezone' here; it belongs in an entry of sources",
            ),
            ("path: runinfo", ":1: unknown key 'path' here; it belongs in an entry of sources"),
            ("listen_address: ':80'", ":1: unknown key 'listen_address' here; it belongs under web"),
            (
                "limits: {retention: 1h}",
                ":1: limits: unknown key 'retention' here; it belongs at the top of the",
            ),
            (
                "sources: [{path: a, close_after: 1m}]",
                ":1: sources[0]: unknown key 'close_after' here; it belongs at the top of the file",
            ),
            ("web: {listen_address: localhost}", ":1: web.listen_address: 'localhost' has no port from 0"),
            ('web: {listen_address: [":80", ":80"]}', ":1: web.listen_address[1]: ':80' is given twice"),
            (
                "web: {listen_address: [localhost]}",
                ":1: web.listen_address[0]: 'localhost' has no port from 0 to 65535",
            ),
            ('web: {config_file: ""}', ":1: web.config_file: is empty"),
            (
                "sources: []",
                ":1: sources: expected a list of sources, found an empty one; leave the key out to read",
            ),
            ("sources:", ":1: sources: expected a list of sources, found nothing"),
            (
                "sources: [5]",
                ":1: sources[0]: expected a path, a URL or a mapping such as {path: runinfo}, found a number",
            ),
            ("sources: {path: a}", ":1: sources: expected a list of sources, found a mapping; leave the key"),
            ("sources: [a, ./a]", ":1: sources[1]: the same database is given already by sources[0]"),
            ("sources: [{}]", ":1: sources[0]: expected either path or url, found neither"),
            (
                "sources: [{path: a, url: 'sqlite:///a'}]",
                ":1: sources[0]: expected either path or url, found both",
            ),
            ('sources: [{path: "a\\0b"}]', ":1: sources[0].path: holds a NUL character"),
            ('sources: [{path: "\\ud800"}]', ":1: sources[0].path: holds half of a surrogate pair"),
            (
                "sources: [{path: 2024-01-01}]",
                ":1: sources[0].path: expected a path, found a date; put it in quotes",
            ),
            ("sources: [{path: 'sqlite:///a'}]", ":1: sources[0].path: is a URL, which goes under url"),
            (
                "sources: [{path: a, hide_labels: [app]}]",
                ":1: sources[0].hide_labels[0]: expected one of user, host, rundir",
            ),
            (
                "sources:\n- {path: a, name: x}\n- {path: b, name: x}",
                ":3: sources[1]: the name 'x' is given already by sources[0]; names must differ",
            ),
            (
                "sources:\n- {path: a}\n- {path: ./a}",
                ":3: sources[1]: the same database is given already by sources[0]; names must differ",
            ),
            (
                "sources: [{url: monitoring.db}]",
                ":1: sources[0].url: is no database URL; give one such as sqlite:///",
            ),
            ("sources: [{url: 'sqlite://h:x/a'}]", ":1: sources[0].url: is no database URL"),
            (
                "sources: [{url: 'sqlite:///a b'}]",
                ":1: sources[0].url: this URL holds a space or a special character",
            ),
            (
                "sources: [{url: 'oracle://h/a'}]",
                ":1: sources[0].url: 'oracle' is not supported by this version; supported: ",
            ),
            (
                "sources: [{url: 'sqlite://host/a'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: a file has no host",
            ),
            (
                "sources: [{url: 'sqlite://'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: a database in memory",
            ),
            (
                "sources: [{url: 'sqlite:///:memory:'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: a database in",
            ),
            (
                "sources: [{url: 'sqlite:///file::memory:'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: options",
            ),
            (
                "sources: [{url: 'sqlite:////a?mode=rw'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: options",
            ),
            (
                "sources: [{url: 'sqlite+aiosqlite:////a'}]",
                ":1: sources[0].url: this sqlite URL cannot be used: give the",
            ),
        ],
    )
    def test_a_wrong_value_is_named_by_line_and_key_with_what_was_expected(
        self, file: Path, text: str, fault: str
    ) -> None:
        (line,) = faults(file, text)
        assert line.startswith(f"exporter.yml{fault}")

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("- a", ":1: expected a mapping (key: value), found a list"),
            ("hello", ":1: expected a mapping (key: value), found text"),
            ("web: {a\n", ":2: not valid YAML: "),
            ("web: 'a", ":1: not valid YAML: "),
            ("\tweb: 1", ":1: not valid YAML: a tab stands where only spaces may; indent with spaces"),
            ("web:\n\t- a", ":2: not valid YAML: a tab stands where only spaces may; indent with spaces"),
            ("web: @x", ":1: not valid YAML: found character '@' that cannot start any token"),
            ("a: 1\nb: \x07", ":2: not valid YAML: the character '\\x07' is not allowed"),
            ('a: "\\UFFFFFFFF"', ": not valid YAML: an escape or a %YAML version has no meaning"),
            ('a: "\\U00110000"', ": not valid YAML: an escape or a %YAML version has no meaning"),
            ("web: 1\n---\nweb: 2", ":2: a second document (---) begins here; keep one"),
            ("a: &x [1]\nb: *x", ":2: aliases (*) are not accepted; repeat the value"),
            ("a: " + "[" * 500, ":1: lists and mappings nested deeper than 16 levels"),
            (
                "web: !!python/object/apply:os.abort []",
                ":1: web: expected a mapping (key: value), found a tagged value",
            ),
            (
                "timezone: !secret x",
                ":1: timezone: expected an IANA time zone such as America/Chicago, or local, found a",
            ),
            ("1: x", ":1: expected a key, found a number"),
            ("? [a]\n: x", ":1: expected a key, found a list"),
            ("<<: {timezone: UTC}", ":1: expected a key, found a tagged value"),
            (b"a: 1\nb: \xff", ":2: is not UTF-8 text; save the file as UTF-8"),
            ("timezone: local\n".encode("utf-16"), ":1: is not UTF-8 text"),
            pytest.param(
                b"#" * 1_000_001, ": is larger than 1000000 bytes; expected a YAML file", id="a megabyte"
            ),
        ],
    )
    def test_a_text_that_is_no_configuration_is_named_by_line(
        self, file: Path, text: str | bytes, fault: str
    ) -> None:
        (line,) = faults(file, text)
        assert line.startswith(f"exporter.yml{fault}")

    @pytest.mark.parametrize(
        "login",
        [
            "postgresql://reader:s3cr@t@127.0.0.1:1/db",
            "postgresql://reader:s3c@r3t/s3c@127.0.0.1:1/db",
            "postgresql://reader:r3t@h/db?options=s3c@x",
            "postgresql://read/er:s3cr3t@h/db",
            "postgresql://h/db?user=x:s3cr3t@y",
        ],
    )
    def test_a_url_whose_login_may_end_elsewhere_is_not_shown(self, file: Path, login: str) -> None:
        fault = "this URL has an @ that does not end its login: write @ as %40 and / as %2F"
        assert faults_of(None, Overrides((login,))) == [f"DATABASE 1: {fault}"]
        assert faults(file, f"sources: [{{url: '{login}'}}]") == [f"exporter.yml:1: sources[0].url: {fault}"]

    @pytest.mark.parametrize(
        "login",
        [
            "postgresql:/reader:s3cr3t@h/db",
            "postgresql:reader:s3cr3t@h/db",
            "//reader:s3cr3t@h/db",
            "reader:s3c/r3t@h/db",
        ],
    )
    def test_a_path_that_may_be_a_url_with_a_login_is_not_shown(self, file: Path, login: str) -> None:
        fault = "looks like a URL with a login, which begins as postgresql://; write ./ before a path"
        assert faults_of(None, Overrides((login,))) == [f"DATABASE 1: {fault}"]
        assert faults(file, f"sources: [{{path: '{login}'}}]") == [
            f"exporter.yml:1: sources[0].path: {fault}"
        ]

    def test_aliases_that_would_grow_to_gigabytes_are_refused_at_once(self, file: Path) -> None:
        bomb = "a0: &a0 [x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20)
        )
        assert faults(file, bomb) == ["exporter.yml:2: aliases (*) are not accepted; repeat the value"]

    def test_an_absent_file_is_named(self, file: Path) -> None:
        assert faults_of(file, Overrides()) == ["exporter.yml: there is no such file"]

    def test_a_folder_is_named(self, tmp_path: Path) -> None:
        assert faults_of(tmp_path, Overrides()) == [f"{tmp_path.name}: is a folder; expected a YAML file"]

    def test_a_pipe_does_not_hold_the_exporter(self, file: Path) -> None:
        os.mkfifo(file)
        assert faults_of(file, Overrides()) == ["exporter.yml: is no regular file; expected a YAML file"]

    def test_an_unreadable_file_is_named(self, file: Path) -> None:
        file.touch(mode=0)
        leave_root = "import os\nif os.geteuid() == 0: os.setuid(65534)"
        assert fault_in_a_process_of_its_own(file, leave_root) == (
            f"{file}: permission denied; make it readable for the exporter's user\n"
        )

    @pytest.mark.parametrize("name", ["x\0y", "x" * 300, "x\nlevel=info"])
    def test_an_impossible_name_is_one_line(self, tmp_path: Path, name: str) -> None:
        (line,) = faults_of(tmp_path / name, Overrides())
        assert line.isprintable()

    def test_a_machine_without_a_time_zone_database_is_told_so(self, file: Path) -> None:
        file.write_text("timezone: America/Chicago\n")
        assert fault_in_a_process_of_its_own(file, "sys.modules['tzdata'] = None", PYTHONTZPATH="") == (
            f"{file}:1: timezone: this machine has no time zone database; "
            "install it (apt install tzdata, or pip install tzdata)\n"
        )

    @pytest.mark.parametrize(
        ("text", "package", "requirement"),
        [
            ("sources: [postgresql://reader@h/db]", "psycopg", "psycopg[binary]"),
        ],
    )
    def test_a_missing_driver_is_installed_by_the_command_that_is_named(
        self, file: Path, text: str, package: str, requirement: str
    ) -> None:
        file.write_text(text)
        hide = f"import parsl_exporter.config.types as kinds\nkinds.find_spec = {{{package!r}: None}}.get"
        assert fault_in_a_process_of_its_own(file, hide).endswith(
            f"its driver is not installed: {sys.executable} -m pip install '{requirement}'\n"
        )
