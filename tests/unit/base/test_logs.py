"""Logs: one line an event that machines can read, no passwords, and a repeated fault said once."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_exporter.base.logs import Format, LineFormatter, RepeatedFault, configure, event
from parsl_exporter.base.redaction import hide_passwords

LOGGER = logging.getLogger("parsl_exporter.test")
PASSWORD = "hunter2-Tr0ub4dor"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def output() -> io.StringIO:
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    return stream


def line_of(format: Format, message: str, fields: object = None, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("parsl_exporter.x", logging.INFO, "x.py", 1, "%s", (message,), info)
    record.created = 1_700_000_000.25
    record.fields = fields
    return LineFormatter(format).format(record)


def parsed(line: str) -> dict[str, str]:
    """An independent reader of logfmt: key=value or key="JSON string", one space between."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(line):
        match = re.compile(r'([A-Za-z0-9_.]+)=("(?:[^"\\]|\\.)*"|[^ "=]+)(?: |$)').match(line, at)
        assert match is not None, line[at:]
        key, value = match.groups()
        assert key not in pairs
        pairs[key] = json.loads(value) if value.startswith('"') else value
        at = match.end()
    return pairs


class TestLine:
    def test_is_logfmt_as_prometheus_writes_it(self) -> None:
        fields = {
            "source": "a.db",
            "rows": 3,
            "seconds": 0.5,
            "ready": True,
            "note": "it is",
            "none": None,
            "no": "",
        }
        assert line_of("logfmt", "caught up", fields) == (
            'ts=2023-11-14T22:13:20.250Z level=info msg="caught up" '
            'source=a.db rows=3 seconds=0.5 ready=true note="it is" none=null no=""'
        )

    def test_is_json_with_numbers_as_numbers(self) -> None:
        fields = {"source": 'a "b".db', "rows": 3, "ready": True, "none": None, "endless": float("inf")}
        assert json.loads(line_of("json", "caught up", fields)) == {
            "ts": "2023-11-14T22:13:20.250Z",
            "level": "info",
            "msg": "caught up",
            "source": 'a "b".db',
            "rows": 3,
            "ready": True,
            "none": None,
            "endless": "inf",
        }

    @pytest.mark.parametrize(
        "value", ["a\nlevel=error", 'a"b', "a=b", "a\\b", "\x1b[2J", "\x85", "\u2028", "\ud800", "\0"]
    )
    def test_no_value_breaks_it(self, value: str) -> None:
        line = line_of("logfmt", "m", {"value": value})
        assert line.isprintable()
        assert parsed(line)["value"] == value
        line = line_of("json", "m", {"value": value})
        assert line.isprintable()
        assert json.loads(line)["value"] == value

    @given(st.text(), st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=4))
    def test_is_one_line_that_can_be_read_back_whatever_it_says(
        self, message: str, fields: dict[str, str]
    ) -> None:
        logfmt, as_json = line_of("logfmt", message, fields), line_of("json", message, fields)
        assert logfmt.isprintable()
        assert as_json.isprintable()
        assert parsed(logfmt)["msg"] == json.loads(as_json)["msg"] == hide_passwords(message)
        assert parsed(logfmt) == json.loads(as_json)

    def test_a_field_cannot_pose_as_the_line_s_own(self) -> None:
        got = parsed(line_of("logfmt", "m", {"level": "error", "msg": "x", "a b=c": "y"}))
        assert got["level"] == "info"
        assert got["msg"] == "m"
        assert got["level_"] == "error"
        assert got["a_b_c"] == "y"

    def test_a_long_value_is_cut_and_says_so(self) -> None:
        got = parsed(line_of("logfmt", "m", {"value": "x" * 10_000}))["value"]
        assert got == "x" * 2000 + "... (10000 characters)"

    def test_a_traceback_is_one_field(self) -> None:
        try:
            raise ValueError("line one\nline two")
        except ValueError as error:
            line = line_of("logfmt", "m", error=error)
        assert line.isprintable()
        assert parsed(line)["traceback"].endswith("ValueError: line one\nline two")

    def test_what_cannot_be_written_is_named_by_its_type(self) -> None:
        class Silent:
            def __str__(self) -> str:
                raise RuntimeError

        line = line_of("json", "m", {"value": Silent(), "endless": 10**5000})
        assert json.loads(line)["value"] == "<Silent>"
        assert json.loads(line)["endless"] == "<int>"


class TestConfigure:
    def test_an_event_has_time_level_message_and_fields(self, output: io.StringIO) -> None:
        event(LOGGER, logging.WARNING, "100 % read", source="a")
        assert re.fullmatch(rf'ts={STAMP} level=warn msg="100 % read" source=a\n', output.getvalue())

    def test_events_below_the_level_are_left_out(self, output: io.StringIO) -> None:
        event(LOGGER, logging.DEBUG, "x")
        assert output.getvalue() == ""

    def test_a_library_s_event_names_its_logger(self, output: io.StringIO) -> None:
        logging.getLogger("uvicorn.error").info("started on port %d", 9678)
        assert parsed(output.getvalue().rstrip("\n"))["logger"] == "uvicorn.error"
        assert 'msg="started on port 9678"' in output.getvalue()

    def test_a_library_s_faulty_event_is_still_one_line(self) -> None:
        record = logging.LogRecord("library", logging.ERROR, "x.py", 1, "%d rows", ("x",), None)
        assert parsed(LineFormatter("logfmt").format(record))["msg"] == "%d rows"

    def test_warnings_are_events(self, output: io.StringIO) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            configure("info", "logfmt", output)
            warnings.warn("old", stacklevel=1)
        assert output.getvalue().count("\n") == 1
        assert "logger=py.warnings" in output.getvalue()

    def test_called_again_it_replaces_itself(self, output: io.StringIO) -> None:
        second = io.StringIO()
        configure("debug", "json", second)
        event(LOGGER, logging.DEBUG, "x")
        assert output.getvalue() == ""
        assert json.loads(second.getvalue())["level"] == "debug"

    def test_a_closed_stream_stops_nothing_and_shows_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stream = io.StringIO()
        configure("info", "logfmt", stream)
        stream.close()
        event(LOGGER, logging.INFO, "x", url=f"pg://u:{PASSWORD}@h")
        assert capsys.readouterr().err == ""


LOGINS = [
    f"postgresql://reader:{PASSWORD}@db.example.org/parsl",
    f"postgresql+psycopg://reader:{PASSWORD}@db:5432/x?sslmode=require",
    f"postgresql://:{PASSWORD}@db",
    f"postgresql://me@corp:{PASSWORD}@db",
    f"postgresql://reader:a@{PASSWORD}@db",
    f"postgresql://reader:a/{PASSWORD}?x@db",
    f"postgresql://db/parsl?password={PASSWORD}",
    f"postgresql://db/parsl?user=x&PASSWORD={PASSWORD}&x=y",
    f"host=db password={PASSWORD} user=x",
    f"host=db password='a {PASSWORD}' user=x",
]


class TestPasswords:
    @pytest.mark.parametrize("login", LOGINS)
    @pytest.mark.parametrize("format", ["logfmt", "json"])
    @pytest.mark.parametrize("wrap", ["{}", "('{}')", "cannot open {}: no", "x\n{}\ny", "{0},{0}"])
    def test_never_reach_the_output(self, login: str, format: Format, wrap: str) -> None:
        text = wrap.format(login)
        try:
            raise ValueError(text) from KeyError(text)
        except ValueError as error:
            line = line_of(format, text, {"url": text, "error": error, "list": [text], text: "x"}, error)
        assert PASSWORD not in line
        assert re.sub(r"[^A-Za-z0-9_.]", "_", PASSWORD) not in line
        assert "***" in line

    def test_a_long_text_is_searched_before_it_is_cut(self) -> None:
        text = "x" * 1980 + f" pg://u:{PASSWORD}{'y' * 100}@h"
        assert PASSWORD[:5] not in line_of("logfmt", text)

    def test_the_rest_of_a_url_stays(self) -> None:
        text = "open pg://u:a@b@h:1/d?password=c&x=y failed"
        assert hide_passwords(text) == "open pg://u:***@h:1/d?password=***&x=y failed"

    @pytest.mark.parametrize(
        "text",
        [
            "http://127.0.0.1:9678/metrics",
            "mail a@b about x: y",
            "pg://user@host/x",
            "ts=1 pass=2",
            "a@b://c",
        ],
    )
    def test_other_text_stays(self, text: str) -> None:
        assert hide_passwords(text) == text

    @given(st.text("ab:/@ '=", max_size=30), st.text("ab:/@.", max_size=8), st.text("ab /", max_size=8))
    def test_are_found_in_any_surroundings(self, before: str, host: str, after: str) -> None:
        assert PASSWORD not in hide_passwords(f"{before}pg://user:{PASSWORD}@{host} {after}")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestRepeatedFault:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def faults(self, clock: Clock, output: io.StringIO) -> RepeatedFault:
        return RepeatedFault(LOGGER, clock)

    @pytest.fixture
    def lines(self, output: io.StringIO) -> Callable[[], list[dict[str, str]]]:
        def new_lines() -> list[dict[str, str]]:
            text = output.getvalue()
            output.seek(0)
            output.truncate()
            return [{k: v for k, v in parsed(line).items() if k != "ts"} for line in text.splitlines()]

        return new_lines

    def test_is_logged_at_its_start_every_ten_minutes_and_at_its_end(
        self, faults: RepeatedFault, clock: Clock, lines: Callable[[], list[dict[str, str]]]
    ) -> None:
        faults.failed("a", "no such file", source="a")
        assert lines() == [{"level": "warn", "msg": "no such file", "source": "a"}]
        for _ in range(599):
            clock.now += 1
            faults.failed("a", "no such file", source="a")
        assert lines() == []
        clock.now += 1
        faults.failed("a", "no such file", source="a")
        still = {"level": "warn", "msg": "still failing", "source": "a", "fault": "no such file"}
        assert lines() == [still | {"count": "601", "seconds": "600.0"}]
        clock.now += 599
        faults.failed("a", "permission denied", source="a")
        assert lines() == []
        clock.now += 1
        faults.failed("a", "permission denied", source="a")
        assert lines() == [still | {"fault": "permission denied", "count": "603", "seconds": "1200.0"}]
        clock.now += 2.5
        faults.ended("a", source="a")
        over = {"level": "info", "msg": "works again", "source": "a", "fault": "permission denied"}
        assert lines() == [over | {"count": "603", "seconds": "1202.5"}]

    def test_no_end_is_logged_of_what_did_not_fail(
        self, faults: RepeatedFault, lines: Callable[[], list[dict[str, str]]]
    ) -> None:
        faults.ended("a")
        faults.failed("a", "x")
        faults.ended("a")
        faults.ended("a")
        assert [line["msg"] for line in lines()] == ["x", "works again"]

    def test_each_key_is_a_fault_of_its_own_and_starts_anew_after_its_end(
        self, faults: RepeatedFault, lines: Callable[[], list[dict[str, str]]]
    ) -> None:
        faults.failed("a", "x")
        faults.failed("b", "y")
        faults.ended("a")
        faults.failed("a", "x")
        faults.failed("b", "y")
        assert [line["msg"] for line in lines()] == ["x", "y", "works again", "x"]


def test_hiding_takes_time_in_proportion_to_the_text() -> None:
    # A backtracking expression would need hours for these million characters.
    without_login = "@" + "a://b" * 200_000
    assert hide_passwords(without_login) == without_login
    assert hide_passwords("password='" * 100_000).startswith("password=***")
