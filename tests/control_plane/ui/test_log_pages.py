"""The log's pages show what was recorded, escaped, to those who may see it, and say what is not there and why."""

from uuid import uuid4

import pytest

from control_plane.orgs.services import add_workspace_user
from control_plane.ui import log_pages
from shared.schema.log_record import AttemptRecord, Rejected, Step
from tests.control_plane.factories import make_key, make_member, make_tenant, make_workspace
from tests.control_plane.logs.log_kit import US, now_us, store
from tests.control_plane.ui.page_kit import Page, owner_of, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def client(tenant):
    return owner_of(tenant)


def logs_on(page):
    return [link.removeprefix("/logs/") for link in page.links() if link.startswith("/logs/")]


def test_a_row_shows_the_facts_of_a_request(tenant, client):
    key = make_key(tenant, name="Batch job").row
    store(tenant, api_key=str(key.pk), retry_n=1, fallback_n=2)
    text = Page(client.get("/logs")).text
    facts = "gpt-4o-mini-2024-07-18 openai Success 200 1200 340 $0.000384 812 ms 190 ms 1 retry, 2 fallbacks Batch job"
    assert facts in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cost_nano": None, "price_status": "unpriced"}, "unpriced"),
        ({"cost_nano": 0, "price_status": "free"}, "free"),
        ({"cost_nano": 0, "saved_nano": 9, "price_status": "cached"}, "cached"),
        ({"status": 503}, "Server error 503"),
        ({"status": 429}, "Client error 429"),
        ({"lat_ms": 12_345}, "12.3 s"),
        ({"model_served": None, "model_requested": "asked-for"}, "asked-for"),
    ],
)
def test_a_row_says_in_words_what_is_not_usual(tenant, client, fields, words):
    store(tenant, **fields)
    text = Page(client.get("/logs")).text
    assert words in text
    assert "$0.00 " not in text


def test_an_empty_log_says_what_to_do(client):
    assert "No requests match" in Page(client.get("/logs")).text


def test_other_organisations_records_are_not_listed(tenant, client):
    store(make_tenant())
    mine = store(tenant)
    assert logs_on(Page(client.get("/logs"))) == [str(mine.id)]


def test_a_member_sees_the_workspaces_that_they_joined_only(tenant):
    joined = make_workspace(tenant)
    mine, other = store(tenant, ws=str(joined.pk)), store(tenant)
    member = make_member(tenant)
    add_workspace_user(tenant.actor, joined, member.pk, "member")
    client = signed_in(member)
    page = Page(client.get("/logs"))
    assert logs_on(page) == [str(mine.id)]
    assert str(tenant.workspace.pk) not in [option["value"] for option in page.all("option")]
    assert client.get(f"/logs/{other.id}").status_code == 404


def test_the_time_range_bounds_the_list(tenant, client):
    hour = 3600 * US
    rows = {age: str(store(tenant, ts_us=now_us() - age * hour).id) for age in (0, 3, 100)}
    found = {choice: set(logs_on(Page(client.get("/logs", {"range": choice})))) for choice in ("1h", "24h", "7d", "")}
    assert found == {
        "1h": {rows[0]}, "24h": {rows[0], rows[3]}, "7d": set(rows.values()), "": {rows[0], rows[3]},
    }  # fmt: skip


def test_status_and_workspace_narrow_the_list(tenant, client):
    other = make_workspace(tenant)
    fine, failed = store(tenant), store(tenant, status=500, ws=str(other.pk))
    assert logs_on(Page(client.get("/logs", {"status": "success"}))) == [str(fine.id)]
    assert logs_on(Page(client.get("/logs", {"status": "error"}))) == [str(failed.id)]
    assert logs_on(Page(client.get("/logs", {"workspace": str(other.pk)}))) == [str(failed.id)]


def test_older_leads_through_the_whole_list_with_the_same_filter(tenant, client, monkeypatch):
    monkeypatch.setattr(log_pages, "PAGE_SIZE", 2)
    rows = [str(store(tenant, ts_us=now_us() - number * US, status=500).id) for number in range(5)]
    store(tenant)
    seen, path = [], "/logs?status=error&range=7d"
    while path:
        page = Page(client.get(path))
        seen += logs_on(page)
        path = next((link["href"] for link in page.all("a") if link.get("rel") == "next"), None)
    assert seen == rows


@pytest.mark.parametrize(
    "query", [{"range": "1y"}, {"status": "odd"}, {"workspace": str(uuid4())}, {"workspace": "x"}, {"cursor": "zzz"}]
)
def test_a_filter_that_is_none_is_refused_in_words(tenant, client, query):
    store(tenant)
    answer = client.get("/logs", query)
    page = Page(answer)
    assert (answer.status_code, logs_on(page)) == (400, [])
    assert [given for _, given in page.elements if given.get("role") == "alert"]


def test_another_organisations_log_is_not_found(tenant, client):
    assert client.get(f"/logs/{store(make_tenant()).id}").status_code == 404


@pytest.mark.parametrize("log_id", [str(uuid4()), "x", "%00"])
def test_a_log_that_is_not_there_is_not_found(client, log_id):
    assert client.get(f"/logs/{log_id}").status_code == 404


def test_a_log_shows_attempts_metadata_and_bodies(tenant, client):
    attempts = tuple(
        AttemptRecord(
            n=n, provider="p", path=f"config.targets[{n}]", status=status, start_us=1500 * n, dur_ms=7, error=error
        )
        for n, (status, error) in enumerate([(503, "provider_error"), (200, None)])
    )
    row = store(
        tenant, request={"prompt": "Grüße"}, response={"answer": [1, 2]}, attempts=attempts, metadata={"team": "search"}
    )
    text = Page(client.get(f"/logs/{row.id}")).text
    assert "config.targets[0] p – Server error 503 provider_error 0.0 ms 7 ms" in text
    assert "config.targets[1] p – Success 200 – 1.5 ms 7 ms" in text
    assert "team search" in text
    assert '{ "prompt": "Grüße" }' in text
    assert '{ "answer": [ 1, 2 ] }' in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("none", "metrics only"), ("dropped", "not recorded"), ("gateway", "kept at the gateway"),
        ("stored", "not arrived yet"),
    ],
)  # fmt: skip
def test_a_log_says_why_its_bodies_are_not_shown(tenant, client, state, words):
    row = store(tenant, body_state=state)
    assert words in Page(client.get(f"/logs/{row.id}")).text


def test_what_callers_wrote_is_escaped_everywhere(tenant, client):
    evil = "<script>alert(1)</script>"
    row = store(
        tenant, request={"messages": [{"content": evil}]}, response={"x": f"</pre>{evil}"}, metadata={evil: evil},
        model_served=evil, provider=evil, trace_id=evil, error_type=evil, url=evil, config=evil, virtual_key=evil,
        attempts=(AttemptRecord(n=0, provider=evil, path=evil, status=200, start_us=0, dur_ms=1, error=evil),),
    )  # fmt: skip
    preview = store(tenant, in_preview=evil, out_preview=evil)
    steps = (Step("condition", evil, evil, evil, {evil: evil}, (Rejected(evil, evil),)), Step("attempt", evil, evil))
    decided = store(tenant, decision=steps, model_served="m")
    for path in ("/logs", f"/logs/{row.id}", f"/logs/{preview.id}", f"/logs/{decided.id}"):
        answer = client.get(path)
        assert b"<script" not in answer.content
        assert b"&lt;script&gt;" in answer.content
        assert Page(answer).unbalanced == []


def test_a_huge_body_is_cut_and_says_so(tenant, client, monkeypatch):
    monkeypatch.setattr(log_pages, "MAX_BODY_CHARS", 100)
    row = store(tenant, request={"m": "x" * 500}, response={})
    answer = client.get(f"/logs/{row.id}")
    assert b"x" * 150 not in answer.content
    assert "The first 100 characters" in Page(answer).text


def test_a_log_shows_how_the_request_was_decided(tenant, client):
    key = make_key(tenant, name="Batch job").row
    steps = (
        Step("config", "", "pc-1", "the API key's default", us=40),
        Step(
            "loadbalance", "config", "config.targets[1]", "drawn by weight", {"draw": 0.7, "weights": [1.0, 1.0]},
            (Rejected("config.targets[0]", "its circuit breaker is open"),), 1500,
        ),
        Step("attempt", "config.targets[1]", "openai", "the target", {"status": 200}, us=2000),
    )  # fmt: skip
    page = Page(client.get(f"/logs/{store(tenant, decision=steps, api_key=str(key.pk), price_id='p-1').id}"))
    assert "Answered 200 by openai/gpt-4o-mini-2024-07-18; under pc-1 (the API key's default)" in page.text
    assert "API key Batch job : the API key that the request presented Config after 0.0 ms pc-1 :" in page.text
    assert (
        "Load balancing config after 1.5 ms config.targets[1] : drawn by weight draw 0.7 weights 1.0, 1.0 "
        "Not config.targets[0] : its circuit breaker is open"
    ) in page.text
    assert "Price p-1 : priced cost $0.000384" in page.text
    assert len([given for given in page.all("ol") if given.get("class") == "steps"]) == 1


def test_a_log_without_a_trace_says_so(tenant, client):
    page = Page(client.get(f"/logs/{store(tenant).id}"))
    assert "Decision The gateway that served this request recorded no decision trace." in page.text
    assert page.all("ol") == []
