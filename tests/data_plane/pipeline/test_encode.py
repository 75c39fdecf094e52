from dataclasses import replace

import pytest

from data_plane.core.job import Choice, Job, Raw
from data_plane.core.types import CallFacts, Credential
from data_plane.pipeline.encode import upstream_request
from data_plane.pipeline.target import Destination
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, InvalidJson
from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.schema.rows import ModelSettingsRow
from shared.trace import Trace
from tests.data_plane import kit

OPENAI = load_providers()["openai"]
TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", None, None, "vendor=1")
BOTH = frozenset({"traceparent", "baggage"})


def made(
    *,
    body=None,
    raw=None,
    caller=None,
    target=None,
    propagates=frozenset(),
    operation="chat",
    model="gpt-4o",
    sent=None,
    row=None,
    provider=OPENAI,
):
    """Return the request of one attempt; `sent` is the body after the target's changes."""
    asked = {"model": "gpt-4o", "messages": []} if body is None else body
    job = Job(
        "proxy" if operation is None else operation,
        DEFAULT_PLAN,
        asked,
        model,
        False,
        Choice(),
        {"team": "ä b"},
        raw=raw,
    )
    facts = CallFacts(model, False, True, caller or {}, {})
    found = None if operation is None else provider.operations[operation]
    place = Destination(
        provider,
        found,
        Credential(Secret("sk-sentinel")),
        "https://api.example/v1",
        asked if sent is None else sent,
        facts,
        row,
    )
    return upstream_request(place, target or Target("config"), job, TRACE, propagates)


def test_a_translated_call_goes_to_the_operations_path_with_the_credential():
    request = made()
    assert (request.method, request.url) == ("POST", "https://api.example/v1/chat/completions")
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer sk-sentinel"}
    assert "sentinel" not in repr(request)


def test_the_place_in_the_trace_goes_out_when_it_is_to():
    headers = made(propagates=BOTH, caller={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}).headers
    assert headers["traceparent"] == f"00-{TRACE.trace_id}-{TRACE.span_id}-01"
    assert headers["tracestate"] == "vendor=1"
    assert headers["baggage"] == "team=%C3%A4%20b"


def test_nothing_of_the_trace_leaves_when_it_is_not_to():
    caller = {"traceparent": "x", "baggage": "a=b", "tracestate": "v"}
    raw = Raw("POST", "/v1/proxy/x", b"{}")
    for headers in (made(caller=caller).headers, made(caller=caller, raw=raw, operation=None).headers):
        assert not {"traceparent", "tracestate", "baggage"} & set(headers)


def test_a_forwarded_call_keeps_method_path_query_and_bytes():
    raw = Raw("PUT", "/v1/proxy/files/a%20b?x=1&y=%2F", b'{ "model" : "gpt-4o" }', is_read=True)
    request = made(
        raw=raw, operation=None, body={"model": "gpt-4o"}, caller={"x-mine": "1", "content-type": "application/json"}
    )
    assert (request.method, request.url) == ("PUT", "https://api.example/v1/files/a%20b?x=1&y=%2F")
    assert request.body == b'{ "model" : "gpt-4o" }'
    assert (request.headers["x-mine"], request.headers["authorization"]) == ("1", "Bearer sk-sentinel")


def test_a_slug_in_the_model_of_a_forwarded_call_stays_here():
    raw = Raw("POST", "/v1/proxy/x", b'{"model":"@main/gpt-4o","n":1}', is_read=True)
    assert made(raw=raw, operation=None, body={"model": "@main/gpt-4o", "n": 1}).body == b'{"model":"gpt-4o","n":1}'


def test_what_the_target_changes_is_changed_in_a_forwarded_call_too():
    raw = Raw("POST", "/v1/proxy/x", b'{"n":1}', is_read=True)
    assert made(raw=raw, operation=None, body={"n": 1}, sent={"n": 1, "m": 2}, model="").body == b'{"n":1,"m":2}'


def test_a_forwarded_call_cannot_leave_the_base():
    with pytest.raises(BadRequest):
        made(raw=Raw("GET", "/v1/proxy/../../admin"), operation=None, body={})


def test_a_body_that_nobody_reads_goes_to_the_operations_path():
    raw = Raw("POST", None, b"", upload=None)
    assert made(raw=raw, body={}, model="").url == "https://api.example/v1/chat/completions"


def test_the_headers_timeout_beats_the_targets():
    assert made(target=Target("config", timeout_ms=5)).timeout_ms == 5


@pytest.mark.parametrize(("method", "content"), [("GET", b""), ("POST", b'[{"a":1}]'), ("POST", b"7")])
def test_what_is_no_object_is_sent_as_it_came_whatever_the_target_would_change(method, content):
    raw = Raw(method, "/v1/proxy/x", content)
    assert made(raw=raw, operation=None, body={}, sent={"model": "m"}, model="").body == content


def test_an_empty_object_is_changed_by_the_target_too():
    raw = Raw("POST", "/v1/proxy/x", b"{}", is_read=True)
    assert made(raw=raw, operation=None, body={}, sent={"n": 1}, model="").body == b'{"n":1}'


@pytest.mark.parametrize(("models", "sent"), [
    (frozenset({"gpt-4o"}), b'{"model":"gpt-4o"}'), (None, b'{"model":"dear", "model":"gpt-4o"}'),
])  # fmt: skip
def test_where_models_are_listed_the_provider_reads_the_model_that_was_checked(models, sent):
    raw = Raw("POST", "/v1/proxy/x", b'{"model":"dear", "model":"gpt-4o"}', is_read=True)
    row = kit.virtual_key("main", models=models)
    assert made(raw=raw, operation=None, body={"model": "gpt-4o"}, row=row).body == sent


@pytest.mark.parametrize("value", [1 << 70, None])
def test_a_body_that_cannot_be_written_again_is_a_clear_refusal(value):
    deep = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(InvalidJson, match="nested too deeply, or has a number too large"):
        made(body={"model": "gpt-4o", "messages": [], "x": deep if value is None else value})


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "x-mine"])
@pytest.mark.parametrize("prefix", ["", "Bearer "])
def test_the_key_to_this_gateway_is_forwarded_in_no_header(name, prefix):
    caller = {"x-portkey-api-key": "", name: prefix + kit.KEY_TEXT, "x-other": "1"}
    headers = made(caller=caller, target=Target("config", forward_headers=(name, "x-other"))).headers
    assert kit.KEY_TEXT not in str(headers)
    assert headers["x-other"] == "1"


def test_a_forwarded_headers_text_leaves_as_the_bytes_it_came_as():
    caller = {"x-mine": "日本", "openai-organization": "é"}
    headers = made(caller=caller, target=Target("config", forward_headers=("x-mine",))).headers
    assert headers["x-mine"].encode("latin-1") == "日本".encode()
    assert headers["openai-organization"].encode("latin-1") == "é".encode()


def test_a_provider_that_signs_whole_requests_is_authorised_by_its_signature_only():
    def sign(request, key, _facts):
        request.headers["x-signature"] = f"{len(request.body)} by {key.reveal()}"

    request = made(provider=replace(OPENAI, sign=sign))
    assert request.headers["x-signature"] == f"{len(request.body)} by sk-sentinel"
    assert "authorization" not in request.headers


def test_an_operations_headers_go_out_with_it_only_and_the_callers_own_win():
    chat = replace(OPENAI.operations["chat"], headers=(("prefer", "wait"),))
    provider = replace(OPENAI, operations={**OPENAI.operations, "chat": chat}, caller_headers=("prefer",))
    raw = Raw("POST", "/v1/proxy/predictions", b"{}")
    assert made(provider=provider).headers["prefer"] == "wait"
    assert made(provider=provider, caller={"prefer": "wait=5"}).headers["prefer"] == "wait=5"
    assert "prefer" not in made(provider=provider, raw=raw, operation=None).headers


@pytest.mark.parametrize("raw", [None, Raw("POST", "/v1/chat/completions", b"{}", is_read=True)])
def test_the_headers_that_an_account_says_for_a_model_go_out_with_its_requests_only(raw):
    own = {"gpt-4o": ModelSettingsRow(None, {"x-region": "eu", "authorization": "never"})}
    row = kit.virtual_key("main", model_settings=own)
    operation = None if raw else "chat"
    sent = made(row=row, raw=raw, operation=operation).headers
    assert (sent["x-region"], sent["authorization"]) == ("eu", "Bearer sk-sentinel")
    assert "x-region" not in made(row=row, raw=raw, operation=operation, model="gpt-4").headers
