"""The web side's endpoints, asked over real connections."""

from __future__ import annotations

import gzip
import http.client
import socket
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.base.formats import Format
from parsl_exporter.base.logs import LineFormatter
from parsl_exporter.web.landing import Condition, Run, RunDetails, landing_page, run_page
from parsl_exporter.web.negotiation import accepts_gzip, preferred_format
from parsl_exporter.web.server import Server

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_3_NATIVE = f"{PROTOBUF};q=0.7,{PROMETHEUS_3}"
"""With the feature native-histograms."""
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class TellingSite:
    """A site whose page says what it was asked for."""

    is_ready = (True, "all sources are ready")
    sources: Sequence[Condition] = ()
    details: RunDetails | None = None
    fault: Exception | None = None

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        if self.fault:
            raise self.fault
        body = f"# {format.name} names={','.join(sorted(names))}\n".encode()
        return gzip.compress(body) if gzipped else body

    def ready(self) -> tuple[bool, str]:
        return self.is_ready

    def conditions(self) -> Sequence[Condition]:
        return self.sources

    def run(self, source: str, run_id: str) -> RunDetails | None:
        return (
            self.details
            if self.details and (source, run_id) == (self.details.source, self.details.run.run_id)
            else None
        )


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        self.connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return Reply(self.connection.getresponse())


@pytest.fixture
def site() -> TellingSite:
    return TellingSite()


@pytest.fixture
def client(site: TellingSite) -> Iterator[Client]:
    server = Server(site, addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1.2.3")
    (url,) = server.start()
    client = Client(urlsplit(url).port or 0)
    yield client
    client.connection.close()
    server.stop()


# What a client gets


def test_metrics_are_text_unless_asked_otherwise(client: Client) -> None:
    reply = client.get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.text == "# TEXT names=\n"


def test_metrics_are_openmetrics_when_asked_for(client: Client) -> None:
    reply = client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert reply.text == "# OPENMETRICS names=\n"


def test_metrics_are_compressed_when_asked_for(client: Client) -> None:
    reply = client.get("/metrics", Accept_Encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == b"# TEXT names=\n"
    assert "content-encoding" not in client.get("/metrics", Accept_Encoding="identity").headers


def test_caches_are_told_what_the_metrics_depend_on(client: Client) -> None:
    assert client.get("/metrics").headers["vary"] == "accept, accept-encoding"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?name[]=parsl_tasks", "parsl_tasks"),
        ("?name%5B%5D=parsl_tasks", "parsl_tasks"),
        ("?name[]=parsl_tasks&x=1&name[]=parsl_blocks", "parsl_blocks,parsl_tasks"),
        ("?name[]=%ff%00", "\ufffd\x00"),
        ("?name[]=", ""),
        ("?other=1", ""),
        ("?", ""),
    ],
)
def test_names_in_the_query_restrict_the_metrics(client: Client, query: str, names: str) -> None:
    assert client.get("/metrics" + query).text == f"# TEXT names={names}\n"


def test_healthy(client: Client) -> None:
    assert client.get("/-/healthy").status == 200


def test_ready(client: Client) -> None:
    reply = client.get("/-/ready")
    assert (reply.status, reply.text) == (200, "all sources are ready\n")


def test_not_ready_says_why(client: Client, site: TellingSite) -> None:
    site.is_ready = (False, "campaign \udcff: first read, 40 %")
    reply = client.get("/-/ready")
    assert (reply.status, reply.text) == (503, "campaign \\udcff: first read, 40 %\n")


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nothing"])
def test_head_is_get_without_a_body(client: Client, path: str) -> None:
    get, head = client.get(path), client.get(path, "HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert int(head.headers["content-length"]) == len(get.body) > 0


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"])
def test_other_methods_are_not_allowed(client: Client, path: str, method: str) -> None:
    reply = client.get(path, method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/METRICS", "/-/", "/-/ready/", "/metrics;x", "*"])
def test_anything_else_is_not_found(client: Client, path: str, method: str) -> None:
    assert client.get(path, method).status == 404


def test_a_connection_serves_many_requests(client: Client) -> None:
    client.get("/metrics")
    first = client.connection.sock
    client.get("/")
    client.get("/nothing")
    assert client.connection.sock is first


def test_the_software_is_not_named(client: Client) -> None:
    assert "server" not in client.get("/metrics").headers


@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip"}])
def test_a_fault_is_one_line_for_the_client_and_one_in_the_log(
    client: Client, site: TellingSite, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    site.fault = RuntimeError("the secret\nof the house")
    reply = client.get("/metrics", **headers)
    assert (reply.status, reply.text) == (500, "internal error; the exporter's log says more\n")
    client.get("/metrics", **headers)
    assert [LineFormatter("logfmt").format(record).partition(" msg=")[2] for record in caplog.records] == [
        '"request failed" path=/metrics error="RuntimeError(\'the secret\\\\nof the house\')"'
    ]
    site.fault = None
    assert client.get("/metrics").status == 200


# Which format


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        PROMETHEUS_2,
        BROWSER,
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0;q=0.5",
        "nonsense",
        ",;,=;q",
    ],
)
def test_the_format_is_that_of_the_client_library(accept: str) -> None:
    assert preferred_format(accept).value == choose_encoder(accept)[1].partition("; escaping")[0]


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.6", Format.OPENMETRICS),
        ("text/plain;q=0.6, application/openmetrics-text;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0, text/plain;q=0", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
        ("application/openmetrics-text;q=much", Format.TEXT),
        ("application/openmetrics-text; Q=1.000", Format.OPENMETRICS),
        ('Application/OpenMetrics-Text; version="1.0.0"', Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0, text/plain", Format.TEXT),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/*", Format.TEXT),
        (PROMETHEUS_3_NATIVE, Format.PROTOBUF),
        (PROTOBUF, Format.PROTOBUF),
        (PROTOBUF + ";q=0.5, application/openmetrics-text;q=0.6", Format.OPENMETRICS),
        (PROTOBUF + ";q=0", Format.TEXT),
        ("application/vnd.google.protobuf", Format.TEXT),
        (PROTOBUF.replace("delimited", "text"), Format.TEXT),
    ],
)
def test_the_format_follows_the_weights(accept: str, format: Format) -> None:
    assert preferred_format(accept) is format


@given(st.text())
def test_no_accept_header_is_too_strange(header: str) -> None:
    assert isinstance(preferred_format(header), Format)
    assert isinstance(accepts_gzip(header), bool)


@pytest.mark.parametrize(
    ("accept_encoding", "gzipped"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5, *;q=0", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*", False),
        ("br", False),
        ("", False),
    ],
)
def test_which_clients_get_compressed_pages(accept_encoding: str, gzipped: bool) -> None:
    assert accepts_gzip(accept_encoding) is gzipped


# The landing page


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_landing_page_links_to_every_endpoint(client: Client) -> None:
    reply = client.get("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    targets = Links(reply.text).targets
    assert [urljoin("/", target) for target in targets] == ["/metrics", "/-/healthy", "/-/ready"]
    assert urljoin("/proxy/", targets[0]) == "/proxy/metrics"
    assert {client.get(urljoin("/", target)).status for target in targets} == {200}


def test_the_landing_page_needs_nothing_else(client: Client) -> None:
    reply = client.get("/")
    assert not {"script", "link", "img", "iframe"} & Links(reply.text).tags
    assert "url(" not in reply.text
    assert "@import" not in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_the_landing_page_shows_the_version_and_each_source(client: Client, site: TellingSite) -> None:
    site.sources = [
        Condition("campaign", "up", "polled 1 s ago", "12,345"),
        Condition("other", "down", "not a database", "0"),
    ]
    text = client.get("/").text
    for shown in ("1.2.3", "campaign", "polled 1 s ago", "12,345", 'class="state up"', 'class="state down"'):
        assert shown in text


def test_the_landing_page_begins_with_what_is_wrong_and_the_runs(client: Client, site: TellingSite) -> None:
    site.sources = [
        Condition("good", "up", "up to date", "1", "12:00:05", [RUN]),
        Condition("bad", "down", "not a database", "0"),
    ]
    text = client.get("/").text
    order = [
        '<p class="state down">Sources: 1 up, 1 down</p>',
        "2 tasks wait",
        "not a database",
        "up to date",
    ]
    assert sorted(order, key=text.index) == order


def test_the_landing_page_without_a_source_says_so(client: Client) -> None:
    assert "No database" in client.get("/").text


RUN = Run("id-1", "montage.py", "for 5 min", "warning", "2 tasks wait", [("blocks", ["htex: 1 PENDING"])])
SURROGATE = "\udcff"


def test_the_landing_page_shows_each_run_of_a_source_with_its_verdict(
    client: Client, site: TellingSite
) -> None:
    site.sources = [
        Condition("campaign", "up", "", "1", "12:00:05", [RUN, RUN._replace(run_id="2")], "and 3 more runs"),
        Condition("empty", "up", "nothing to show", "1"),
    ]
    text = client.get("/").text
    for shown in (
        "montage.py",
        "id-1",
        "for 5 min",
        "2 tasks wait",
        "htex: 1 PENDING",
        "12:00:05",
        "and 3 more runs",
    ):
        assert shown in text
    assert text.count('<p class="warning">') == 2
    assert text.count("<h2>Runs of ") == 1


def test_a_page_asks_again_by_itself(client: Client, site: TellingSite) -> None:
    site.details = RunDetails("s", RUN, "12:00:05", (), ())
    for path in ("/", "/?source=s&run=id-1"):
        assert '<meta http-equiv="refresh" content="10">' in client.get(path).text


ODD_NAMES = ["plain", "/a b/é.db", "a&b=c#d?e+f%41", "<script>", SURROGATE, "\ud800\n\0", ""]


@pytest.mark.parametrize("source", ODD_NAMES)
@pytest.mark.parametrize("run_id", ODD_NAMES)
def test_a_run_leads_to_its_page(client: Client, site: TellingSite, source: str, run_id: str) -> None:
    run = RUN._replace(run_id=run_id)
    site.sources = [Condition(source, "up", "", "1", "", [run])]
    site.details = RunDetails(source, run, "12:00:05", ("pending", "failed"), [("simulate", ("17", "."))])
    (target,) = [one for one in Links(client.get("/").text).targets if "?" in one]
    assert urljoin("/proxy/", target).startswith("/proxy/?")
    reply = client.get(urljoin("/", target))
    assert reply.status == 200
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    for shown in ("2 tasks wait", "simulate", "<td>17</td>", "pending", "12:00:05"):
        assert shown in reply.text
    assert urljoin("/proxy/", Links(reply.text).targets[0]) == "/proxy/"


@pytest.mark.parametrize(
    "query",
    [
        "?run=other&source=s",
        "?run=id-1",
        "?run=id-1&source=other",
        "?run=",
        "?run=%ff&source=s",
        "?source=s&run=%ed%b3",
    ],
)
def test_a_run_that_is_not_known_is_not_found(client: Client, site: TellingSite, query: str) -> None:
    site.details = RunDetails("s", RUN, "", (), ())
    assert client.get("/" + query).status == 404
    assert client.get("/?source=s&run=id-1").status == 200


def test_what_is_too_much_for_a_page_is_left_out_and_counted() -> None:
    sources = [Condition(f"s{i}", "up", "", "1") for i in range(1_500)]
    page = landing_page(sources, telemetry_path="/metrics", version="1")
    assert page.count("<li><strong>") == 1_000
    assert "and 500 more sources" in page
    apps = [(f"a{i}", ("1",)) for i in range(1_001)]
    page = run_page(RunDetails("s", RUN._replace(facts=[("failures", ["x"] * 999)]), "", ("pending",), apps))
    assert page.count('<tr><th scope="row">') == 1_000
    assert "and 1 more apps" in page
    assert page.count("<dd>x</dd>") == 100


texts = st.text(max_size=9)
facts = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=2)), min_size=1, max_size=1)
runs = st.builds(Run, texts, texts, st.text(min_size=1, max_size=9), texts, texts, facts)


@given(
    st.builds(
        Condition, texts, texts, texts, texts, texts, st.lists(runs, min_size=1, max_size=1), st.just("more")
    ),
    texts,
    texts,
)
def test_no_text_changes_the_landing_pages_structure(condition: Condition, path: str, version: str) -> None:
    plain = landing_page(
        [Condition("a", "up", "b", "c", "d", [RUN], "more")], telemetry_path="/metrics", version="1"
    )
    odd = landing_page(
        [condition], telemetry_path="/" + path.encode(errors="replace").decode(), version=version
    )
    texts_more = sum(len(texts) for run in condition.runs for _, texts in run.facts) - 1
    assert Links(odd).tags == Links(plain).tags
    assert len(Links(odd).targets) == 4
    assert odd.count("<") == plain.count("<") + 2 * texts_more
    odd.encode()


@given(texts, runs, st.lists(texts, min_size=1, max_size=1))
def test_no_text_changes_the_structure_of_a_runs_page(source: str, run: Run, states: list[str]) -> None:
    plain = run_page(RunDetails("s", RUN, "", ("pending",), [("app", ("1",))]))
    odd = run_page(RunDetails(source, run, source, states, [(source, states)]))
    texts_more = sum(len(texts) for _, texts in run.facts) - 1
    assert Links(odd).tags == Links(plain).tags
    assert Links(odd).targets == ["./"]
    assert odd.count("<") == plain.count("<") + 2 * texts_more
    odd.encode()


def test_markup_and_lone_surrogates_are_shown_as_text(client: Client, site: TellingSite) -> None:
    site.sources = [Condition("<script>alert('&\"')</script>", "up", "\udcff\x00", "")]
    text = client.get("/").text
    assert "&lt;script&gt;alert(&#x27;&amp;&quot;&#x27;)&lt;/script&gt;" in text
    assert "</span> \ufffd\ufffd <small>" in text


def test_no_text_turns_what_stands_beside_it_round(client: Client, site: TellingSite) -> None:
    site.sources = [Condition("a\u202eb\u2066", "up", "", "")]
    assert "a\ufffdb\ufffd" in client.get("/").text


# Starting and stopping


def server_at(*addresses: str, path: str = "/metrics") -> Server:
    return Server(TellingSite(), addresses=addresses, telemetry_path=path, version="1")


def test_the_urls_have_the_ports_that_were_taken() -> None:
    server = server_at("127.0.0.1:0", "localhost:0")
    try:
        urls = server.start()
        assert [urlsplit(url).hostname for url in urls] == ["127.0.0.1", "127.0.0.1"]
        for url in urls:
            port = urlsplit(url).port
            assert port
            assert Client(port).get("/-/healthy").status == 200
    finally:
        server.stop()


def test_every_address_that_cannot_be_listened_on_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        server = server_at(
            f"127.0.0.1:{free}", f"127.0.0.1:{taken}", "192.0.2.1:0", "no.such.host.invalid:0", "x"
        )
        with pytest.raises(ConfigurationError) as caught:
            server.start()
        server.stop()
    in_use, elsewhere, unknown, malformed = caught.value.faults
    assert in_use == (
        f"cannot listen on 127.0.0.1:{taken}: another program listens there; stop it or choose another port"
    )
    assert "192.0.2.1" in elsewhere
    assert "does not have that address" in elsewhere
    assert "host name is not known" in unknown
    assert "no port" in malformed
    with socket.create_server(("127.0.0.1", free)):
        pass  # what could be listened on was let go


@pytest.mark.parametrize("path", ["", "metrics", "/", "/-/ready", "/-/healthy"])
def test_a_telemetry_path_that_is_none_or_taken_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="telemetry path"):
        server_at("127.0.0.1:0", path=path)


@pytest.mark.parametrize("path", ["/my metrics", "/größe/metrics", "/a%41"])
def test_a_telemetry_path_may_have_any_characters(path: str) -> None:
    server = server_at("127.0.0.1:0", path=path)
    try:
        client = Client(urlsplit(server.start()[0]).port or 0)
        target = Links(client.get("/").text).targets[0]
        assert client.get(urljoin("/", target)).text == "# TEXT names=\n"
        assert client.get("/metrics").status == 404
    finally:
        server.stop()


def test_after_stopping_the_port_is_free() -> None:
    server = server_at("127.0.0.1:0")
    port = urlsplit(server.start()[0]).port or 0
    server.stop()
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_stopping_what_was_never_started_does_nothing() -> None:
    server_at("127.0.0.1:0").stop()
