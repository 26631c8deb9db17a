"""The configuration: defaults, what a file and the command line may say, and its documentation."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import urllib.error
from email.message import Message
from pathlib import Path

import pytest
from support.config_reading import faults, faults_of, loaded

from parsl_exporter.config.load import (
    BucketSettings,
    LimitSettings,
    Overrides,
    Settings,
    SourceSettings,
    WebSettings,
    load,
    reference,
)
from parsl_exporter.config.settings import table
from parsl_exporter.model.failures import failure_class
from parsl_exporter.readers.targets import discover
from parsl_exporter.source.options import options_of

EXAMPLE = Path(__file__).parents[3] / "config" / "exporter.yml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exporter.yml"


class TestDefaults:
    def test_without_a_file_and_arguments_the_run_folder_s_database_is_read(self) -> None:
        assert load(None, Overrides()) == Settings()
        assert Settings().sources == (SourceSettings("runinfo/monitoring.db"),)

    @pytest.mark.parametrize(
        "text", ["", "# nothing\n", "---\n", "\ufeff# a byte order mark\n", "web:\nlimits:\n"]
    )
    def test_an_empty_file_or_section_changes_nothing(self, file: Path, text: str) -> None:
        assert loaded(file, text) == Settings()

    def test_are_those_of_the_documented_interface(self) -> None:
        plain = Settings()
        assert (plain.poll_interval, plain.retention, plain.abandon_after, plain.close_after) == (
            1,
            900,
            86400,
            30,
        )
        assert plain.timezone == "local"
        assert plain.limits == LimitSettings(apps_per_run=200, runs_per_source=200, series=200_000)
        assert plain.web == WebSettings(("127.0.0.1:9678",), "/metrics", None)
        assert plain.buckets.seconds[0] == 0.1
        assert plain.buckets.seconds[-1] == 86400
        assert plain.buckets.bytes == tuple(float(2**n * 1024**2) for n in range(4, 19))
        reasons = set(plain.failure_reasons)
        assert {"ValueError", "ManagerLost", "RadioRequiredError", "WorkQueueTaskFailure"} <= reasons
        for error in (
            PermissionError(13, "no"),
            AssertionError(),
            ZeroDivisionError("division by zero"),
            subprocess.CalledProcessError(1, ["false"]),
            subprocess.TimeoutExpired("sleep", 5),
            ImportError("no module"),
            urllib.error.HTTPError("http://h", 404, "Not Found", Message(), None),
        ):
            assert failure_class(repr(error)) in reasons

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Settings().timezone = "UTC"  # type: ignore[misc]  # that it is wrong is the point


class TestFile:
    def test_every_setting_is_read(self, file: Path) -> None:
        got = loaded(
            file,
            """
poll_interval: 250ms
retention: 1h30m
abandon_after: 1w
close_after: 5s
timezone: America/Chicago
buckets: {seconds: [0, 1e-1, 5], bytes: [1024]}
failure_reasons: [ValueError, concurrent.futures.BrokenExecutor]
created_samples: no
limits: {apps_per_run: 1, runs_per_source: 2, series: 3}
web: {listen_address: [":80", "[::1]:9678"], telemetry_path: /parsl/metrics, config_file: web.yml}
sources:
  - path: runs/*/monitoring.db
    name: campaign
    timezone: Europe/Berlin
    hide_labels: [user, host]
  - path: /scratch/runinfo
  - url: sqlite:///relative/monitoring.db
  - url: sqlite:////absolute/monitoring.db
""",
        )
        folder = file.parent
        assert got == Settings(
            poll_interval=0.25,
            retention=5400,
            abandon_after=604800,
            close_after=5,
            timezone="America/Chicago",
            buckets=BucketSettings(seconds=(0, 0.1, 5), bytes=(1024,)),
            failure_reasons=("ValueError", "concurrent.futures.BrokenExecutor"),
            created_samples=False,
            limits=LimitSettings(1, 2, 3),
            web=WebSettings((":80", "[::1]:9678"), "/parsl/metrics", f"{folder}/web.yml"),
            sources=(
                SourceSettings(
                    f"{folder}/runs/*/monitoring.db", "campaign", "Europe/Berlin", frozenset({"user", "host"})
                ),
                SourceSettings("/scratch/runinfo"),
                SourceSettings(f"sqlite:///{folder}/relative/monitoring.db"),
                SourceSettings("sqlite:////absolute/monitoring.db"),
            ),
        )

    def test_relative_paths_do_not_depend_on_the_working_folder(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text("sources: [{path: a.db}]")
        monkeypatch.chdir(file.parent)
        assert load(Path(file.name), Overrides()).sources[0].target == f"{file.parent}/a.db"

    @pytest.mark.parametrize(
        ("text", "targets"),
        [
            ("sources: [runinfo]", ["{folder}/runinfo"]),
            ("sources: runinfo", ["{folder}/runinfo"]),
            ("sources:\n- /scratch/*/runinfo\n- path: b", ["/scratch/*/runinfo", "{folder}/b"]),
            ("sources: [sqlite:///a.db]", ["sqlite:///{folder}/a.db"]),
        ],
    )
    def test_a_source_may_be_a_plain_path_or_url(self, file: Path, text: str, targets: list[str]) -> None:
        wanted = [target.format(folder=file.parent) for target in targets]
        assert [source.target for source in loaded(file, text).sources] == wanted

    def test_one_address_to_listen_on_needs_no_list(self, file: Path) -> None:
        assert loaded(file, 'web: {listen_address: ":9678"}').web.listen_address == (":9678",)

    @pytest.mark.parametrize("scheme", ["", "sqlite:///"])
    def test_a_tilde_is_the_home_folder_as_in_a_shell(
        self, file: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        key = "url" if scheme else "path"
        got = loaded(
            file,
            f"web: {{config_file: ~/web.yml}}\nsources: [{{{key}: '{scheme}~/runinfo'}}, '~nobody-here/x']",
        )
        assert got.web.config_file == "/home/me/web.yml"
        assert [one.target for one in got.sources] == [
            f"{scheme}/home/me/runinfo",
            f"{file.parent}/~nobody-here/x",
        ]
        argument = load(None, Overrides((f"{scheme}~/runinfo",))).sources[0]
        assert [str(found.database) for found in discover(argument)] == [
            "/home/me/runinfo" if scheme else "/home/me/runinfo/monitoring.db"
        ]

    def test_all_faults_are_named_in_the_file_s_order(self, file: Path) -> None:
        text = """retension: 1h
timezone: Mars/Base
web:
  telemetry_path: metrics
  colour: red
sources:
  - path: a.db
    timezone: Mars/Base
"""
        assert faults(file, text, Overrides(poll_interval="5")) == [
            "exporter.yml:1: unknown key 'retension'; did you mean retention?",
            "exporter.yml:2: timezone: 'Mars/Base' is no time zone; "
            "give an IANA name such as America/Chicago, or local",
            "exporter.yml:4: web.telemetry_path: "
            "expected a path that begins with /, such as /metrics, found 'metrics'",
            "exporter.yml:5: web: unknown key 'colour'; "
            "expected one of listen_address, telemetry_path, config_file",
            "exporter.yml:8: sources[0].timezone: 'Mars/Base' is no time zone; "
            "give an IANA name such as America/Chicago, or local",
            "--poll.interval: '5' is no duration; give a duration such as 250ms, 30s, 1h30m, 15m, 1d or 1w",
        ]


class TestOverrides:
    def test_flags_replace_what_the_file_says(self, file: Path) -> None:
        text = (
            "poll_interval: 5s\nretention: 5m\nsources: [{path: a}]\n"
            "web: {telemetry_path: /a, config_file: a.yml}\n"
        )
        got = loaded(
            file,
            text,
            Overrides(("x.db", "sqlite:///y.db"), (":1", ":2"), "/b", "b.yml", "250ms"),
        )
        assert got == Settings(
            poll_interval=0.25,
            retention=300,
            web=WebSettings((":1", ":2"), "/b", "b.yml"),
            sources=(SourceSettings("x.db"), SourceSettings("sqlite:///y.db")),
        )

    def test_every_flag_of_the_table_can_be_given(self) -> None:
        given_flags = Overrides(("x",), (":0",), "/x", "x", "2s", "2/3", "/x")
        changed = load(None, given_flags)
        plain = Settings()
        by_flag = {row.flag: row.key for row in table() if row.flag}
        for key in by_flag.values():
            section, _, name = key.rpartition(".")
            now, before = (getattr(s, section) if section else s for s in (changed, plain))
            assert getattr(now, name) != getattr(before, name), key

    def test_faults_name_the_flag_or_the_argument(self) -> None:
        wrong = Overrides(("a", "", "a", "pg://x"), ("nowhere",), "", "", "soon")
        assert [line.partition(";")[0] for line in faults_of(None, wrong)] == [
            "--web.listen-address: 'nowhere' has no port from 0 to 65535",
            "--web.telemetry-path: expected a path that begins with /, such as /metrics, found ''",
            "--web.config.file: is empty",
            "--poll.interval: 'soon' is no duration",
            "DATABASE 2: is empty",
            "DATABASE 4: 'pg' is not supported by this version",
            "DATABASE 3: the same database is given already by DATABASE 1",
        ]

    @pytest.mark.parametrize(
        "target",
        [
            "postgresql://reader:a%40b%2Fc@db.example.org/parsl",
            "postgresql://reader:a/b?c@db.example.org/parsl",
            "sqlite:////scratch/a:b@c/monitoring.db",
            "/scratch/a:b@c/monitoring.db",
            "./a:b@c/monitoring.db",
            "a@b/10:30/monitoring.db",
        ],
    )
    def test_a_login_or_a_path_that_is_beyond_doubt_is_taken(self, target: str) -> None:
        assert load(None, Overrides((target,))).sources == (SourceSettings(target),)

    def test_a_file_name_may_hold_bytes_that_are_no_text(self) -> None:
        name = os.fsdecode(b"run-\xff.db")
        assert load(None, Overrides((name,))).sources == (SourceSettings(name),)


class TestDocumentation:
    def test_the_table_holds_every_field_of_the_settings(self) -> None:
        def keys(cls: type, prefix: str = "") -> set[str]:
            found = set()
            for field in dataclasses.fields(cls):
                if dataclasses.is_dataclass(field.default) and not field.metadata:
                    found |= keys(type(field.default), f"{prefix}{field.name}.")
                else:
                    found.add(f"{prefix}{field.name}")
            return found

        wanted = keys(Settings) - {"sources"} | keys(SourceSettings, "sources[].") - {"sources[].target"}
        assert {row.key for row in table()} == wanted | {"sources[].path", "sources[].url"}

    def test_the_reference_has_a_row_of_five_cells_for_each_setting(self) -> None:
        rows = reference().splitlines()[2:]
        assert [row.split("|")[1].strip(" `") for row in rows] == [row.key for row in table()]
        assert {row.count("|") for row in rows} == {6}

    def test_a_default_of_the_reference_is_what_the_file_would_say(self, file: Path) -> None:
        lines = []
        for row in table():
            section, _, name = row.key.rpartition(".")
            if row.default and section != "sources[]":
                lines.append(f"{section}: {{{name}: {row.default}}}" if section else f"{name}: {row.default}")
        for line in lines:
            assert loaded(file, line) == Settings(), line

    def test_workers_have_one_zone_or_one_by_executor(self, file: Path) -> None:
        for text, zones in (
            ("UTC", (("*", "UTC"),)),
            ('{htex_*: UTC, "*": Asia/Tokyo}', (("htex_*", "UTC"), ("*", "Asia/Tokyo"))),
            ("{}", ()),
        ):
            (source,) = loaded(file, f"sources: [{{path: a.db, worker_timezone: {text}}}]").sources
            assert source.worker_timezone == zones

    def test_the_example_states_the_defaults(self) -> None:
        assert load(EXAMPLE, Overrides()) == Settings()

    def test_the_example_holds_every_setting(self, file: Path) -> None:
        text = re.sub(r"^#(?! \S)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
        full = loaded(file, text)
        for row in table():
            name = row.key.rpartition(".")[2]
            assert re.search(rf"^[ -]*{name}:", text, flags=re.MULTILINE), row.key
        assert full.web.config_file == f"{file.parent}/web.yml"
        first, second = full.sources
        assert first == SourceSettings(
            "/scratch/*/runinfo/monitoring.db",
            "campaign",
            "America/Chicago",
            frozenset({"user", "host", "rundir"}),
            (("login*", "Europe/Paris"),),
            (("*", "UTC"),),
        )
        assert second.target.startswith("sqlite:////")


def test_a_source_is_read_as_the_settings_say() -> None:
    options = options_of(Settings(created_samples=False, close_after=5), SourceSettings("x"), "x")
    assert (options.created, options.limits.close_after) == (False, 5)
