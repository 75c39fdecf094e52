import pytest

from data_plane.core.job import Choice, Job, Raw
from data_plane.core.types import CallFacts, Credential
from data_plane.pipeline.encode import upstream_request
from data_plane.pipeline.target import Destination
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest
from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.trace import Trace

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
    found = None if operation is None else OPENAI.operations[operation]
    place = Destination(
        OPENAI, found, Credential(Secret("sk-sentinel")), "https://api.example/v1", sent or asked, facts, None
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
    raw = Raw("PUT", "/v1/proxy/files/a%20b?x=1&y=%2F", b'{ "model" : "gpt-4o" }')
    request = made(
        raw=raw, operation=None, body={"model": "gpt-4o"}, caller={"x-mine": "1", "content-type": "application/json"}
    )
    assert (request.method, request.url) == ("PUT", "https://api.example/v1/files/a%20b?x=1&y=%2F")
    assert request.body == b'{ "model" : "gpt-4o" }'
    assert (request.headers["x-mine"], request.headers["authorization"]) == ("1", "Bearer sk-sentinel")


def test_a_slug_in_the_model_of_a_forwarded_call_stays_here():
    raw = Raw("POST", "/v1/proxy/x", b'{"model":"@main/gpt-4o","n":1}')
    assert made(raw=raw, operation=None, body={"model": "@main/gpt-4o", "n": 1}).body == b'{"model":"gpt-4o","n":1}'


def test_what_the_target_changes_is_changed_in_a_forwarded_call_too():
    raw = Raw("POST", "/v1/proxy/x", b'{"n":1}')
    assert made(raw=raw, operation=None, body={"n": 1}, sent={"n": 1, "m": 2}, model="").body == b'{"n":1,"m":2}'


def test_a_forwarded_call_cannot_leave_the_base():
    with pytest.raises(BadRequest):
        made(raw=Raw("GET", "/v1/proxy/../../admin"), operation=None, body={})


def test_a_body_that_nobody_reads_goes_to_the_operations_path():
    raw = Raw("POST", None, b"", upload=None)
    assert made(raw=raw, body={}, model="").url == "https://api.example/v1/chat/completions"


def test_the_headers_timeout_beats_the_targets():
    assert made(target=Target("config", timeout_ms=5)).timeout_ms == 5
