"""No text can break the reading of a configuration, and no fault shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import cases
from support.config_reading import faults

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.load import Overrides, Settings, load
from parsl_exporter.config.settings import table

PASSWORD = "hunter2-Tr0ub4dor"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exporter.yml"


LOGINS = [
    f"postgresql://reader:{PASSWORD}@db/parsl",
    f"postgresql+psycopg://reader:{PASSWORD}@db:5432/parsl",
    f"postgresql://reader:{PASSWORD}",
    f"postgresql://me@corp:a@{PASSWORD}@db/x",
    f"postgresql://reader:a/{PASSWORD}@db",
    f"postgresql://reader:a {PASSWORD}@db",
    f"postgresql://db/parsl?password={PASSWORD}",
    f"sqlite://reader:{PASSWORD}@/a.db",
    f"oracle://r:{PASSWORD}@h",
    f"//r:{PASSWORD}@h",
    f"reader:{PASSWORD}@db:5432",
]
PLACES = [
    "sources: [{{url: {0}}}]",
    "sources: [{{path: {0}, name: 5}}]",
    "sources: [{{path: a, name: {0}}}, {{path: b, name: {0}}}]",
    "sources: [{{path: {0}}}, {{path: {0}}}]",
    "sources: [{{url: {0}, {0}: {0}}}]",
    "sources: {0}",
    "sources:\n- {0}: x",
    "{0}: {0}",
    "{0}",
    "timezone: {0}",
    "created_samples: {0}",
    "poll_interval: {0}",
    "buckets: {{seconds: [{0}]}}",
    "failure_reasons: [{0}, {0}]",
    "web: {{listen_address: [{0}], telemetry_path: {0}, config_file: {0}}}",
    "web: {{config_file: {0}}}\nx: 1",
    "retention: *{0}",
    "retention: !{0} x",
    "retention: !{0}! x",
    "retention: &{0} x\nclose_after: &{0} x",
    "retention: '{0}",
    "retention: [{0}",
    'retention: "{0}\\q"',
    "%TAG {0} {0}\n---\na: 1",
    "%{0} x\n---\na: 1",
]


class TestPasswords:
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("quote", ["", "'", '"'])
    def test_no_fault_shows_one(self, file: Path, place: str, quote: str) -> None:
        for login in LOGINS:
            text = place.format(f"{quote}{login}{quote}")
            file.write_text(text)
            try:
                load(file, Overrides())
            except ConfigurationError as error:
                assert PASSWORD not in str(error), text

    @pytest.mark.parametrize(
        "place", ["*{0}", "!{0} x", "!{0}! x", "&{0} x\nretention: &{0} x", "!{0}!a!b x"]
    )
    def test_no_fault_of_the_syntax_shows_a_word_of_the_file(self, file: Path, place: str) -> None:
        (line,) = faults(file, f"timezone: {place.format(PASSWORD)}")
        assert PASSWORD not in line

    @pytest.mark.parametrize("login", LOGINS)
    def test_no_fault_of_the_command_line_shows_one(self, login: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            load(None, Overrides((login, login), (login,), login, login, login))
        assert PASSWORD not in str(caught.value)


KEYS = [row.key.rpartition(".")[2] for row in table()] + ["buckets", "limits", "web", "sources", "x", "<<"]
SCALARS = st.one_of(
    st.sampled_from(
        ["1s", "0", "-1", "local", "UTC", "[]", "{}", "~", "1e5", "/m", ":80", "a.db", "*a", "&a", "!!int x"]
    ),
    st.sampled_from(
        ["sqlite:///a", "sqlite://", "user", "ValueError", "1:30", "0x1f", "'", '"', "|", ">", "? ", "- -"]
    ),
    st.text(max_size=12),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=12,
)
DOCUMENTS = st.lists(st.tuples(st.sampled_from(KEYS), TREES), max_size=5).map(
    lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs)
)
NOISE = st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,?\\\n\t ~<=.0123\u2028\ufeff\x00\x85é"), max_size=60)


class TestAnyText:
    @cases(600)
    @given(st.one_of(DOCUMENTS, NOISE, st.text(st.characters(exclude_categories=["Cs"]))))
    def test_gives_settings_or_faults_of_one_line_each(self, file: Path, text: str) -> None:
        check(file, text.encode())

    @cases(200)
    @given(st.binary(max_size=80))
    def test_so_do_any_bytes(self, file: Path, content: bytes) -> None:
        check(file, content)

    @cases(300)
    @given(st.text(max_size=30), st.text(max_size=30))
    def test_so_does_any_command_line(self, first: str, second: str) -> None:
        try:
            load(None, Overrides((first, second), (first,), second, first, second))
        except ConfigurationError as error:
            assert all(line.isprintable() for line in error.faults)


def check(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        got = load(file, Overrides())
    except ConfigurationError as error:
        assert error.faults
        assert all(line.isprintable() and line.startswith(str(file)) for line in error.faults)
    else:
        assert isinstance(got, Settings)
        assert got.sources
        assert got.poll_interval > 0
