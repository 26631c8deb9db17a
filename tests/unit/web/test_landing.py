"""The landing page and the pages of runs."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.web_asking import Client, Links, TellingSite

from parsl_exporter.web.landing import Condition, Run, RunDetails, landing_page, run_page


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
