import asyncio
import gzip
import posixpath
import re
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_plane.core.exchange import Exchange
from data_plane.core.job import Principal
from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.pipeline.forward import (
    KEPT_COUNTED_BYTES,
    KEPT_JSON_BYTES,
    MAX_ENCODINGS,
    RawRelay,
    forward_headers,
    forward_url,
    json_operation,
)
from data_plane.providers._openai_like import chat, usage_of
from data_plane.providers.base import Provider
from data_plane.providers.registry import load_providers
from data_plane.upstream.client import UpstreamClient
from shared.errors import BadRequest, Unauthenticated, UpstreamBroken
from shared.redact import Secret
from shared.routing.decision import DecisionTrace
from shared.schema.rows import OrgRow, WorkspaceRow
from shared.trace import read_trace
from tests.data_plane import kit
from tests.data_plane.upstream.raw_server import CLOSE, RawServer

BASE = "https://api.example.com/v1"

# where it goes


@pytest.mark.parametrize(("path", "query", "url"), [
    ("/v1/proxy/files", "", f"{BASE}/files"),
    ("/v1/files/file-1/content", "", f"{BASE}/files/file-1/content"),
    ("/v1/proxy", "", BASE),
    ("/v1/proxy/", "", f"{BASE}/"),
    ("/v1/proxyfile", "", f"{BASE}/proxyfile"),
    ("/v1/proxy/proxy/x", "", f"{BASE}/proxy/x"),
    ("/v1/files", "limit=2&after=a%2Fb&x=\\..//", f"{BASE}/files?limit=2&after=a%2Fb&x=\\..//"),
    ("/v1/models/org%2Fname%20x", "", f"{BASE}/models/org%2Fname%20x"),
    ("/v1/models/gemini:generateContent", "alt=sse", f"{BASE}/models/gemini:generateContent?alt=sse"),
    ("/v1/a..b/...//c./.d", "", f"{BASE}/a..b/...//c./.d"),
    ("/v1/a%zz%", "", f"{BASE}/a%zz%"),
    ("/v1/100%25", "", f"{BASE}/100%25"),
])  # fmt: skip
def test_what_follows_the_gateways_own_path_goes_below_the_base(path, query, url):
    assert forward_url(BASE, path, query) == url


@pytest.mark.parametrize("path", [
    "/v1/..", "/v1/proxy/..", "/v1/proxy/../x", "/v1/a/../../x", "/v1/./x", "/v1/a/.",
    "/v1/%2e%2e/x", "/v1/.%2E/x", "/v1/%252e%252e/x", "/v1/%25252e./x", "/v1/a%2f..%2fx", "/v1/..%2fx", "/v1/..;/x", "/v1/..;a=b",
    "/v1/%2e%2e%3b/x", "/v1/..%20/x",
    "/v1/..\\x", "/v1/a\\b", "/v1/a%5cb", "/v1/..%5cx", "/v1//evil.example/x", "/v1/proxy//evil.example", "/v1/%2fevil.example",
    "/v1/proxy/https://evil.example/x", "/v1/proxy/HTTP://evil.example", "/v1/proxy/https%3a%2f%2fevil.example",
    "/v1/a\r\nx-evil:1", "/v1/a%0d%0ax", "/v1/a%00", "/v1/a\tb", "/v1/a b", "/v1/a\x7f", "/v1/a%7F", "/v1/ä", "/v1/a#b", "/v1/a?b",
    "/v1/" + "%" + "25" * 2000 + "2e",
    "", "/", "/v2/x", "/v11/x", "v1/x", "https://evil.example/v1/x", "//evil.example/v1/x", "@evil.example", "/v1x",
])  # fmt: skip
def test_a_path_that_could_lead_out_of_the_base_is_refused(path):
    with pytest.raises(BadRequest) as raised:
        forward_url(BASE, path, "")
    assert (raised.value.status, raised.value.path) == (400, "url")


@pytest.mark.parametrize("query", ["a b", "a\nb", "a\r\nb", "a#b", "ä", "a\0", "a\x7f"])
def test_a_query_that_cannot_stand_in_a_request_line_is_refused(query):
    with pytest.raises(BadRequest):
        forward_url(BASE, "/v1/x", query)


ODD = st.sampled_from([
    "..", ".", "%2e", "%2E", "%252e", "/", "%2f", "%252F", "\\", "%5c", ";", "%3b", "//", ":", "@", "?", "#", "%", "%25", "%00",
    "https:", "evil.example", "a", " ", "\n", "v1", "proxy", "\x7f", "ä", "%20",
])  # fmt: skip


def resolved(path):
    """Return every place that a server could take `path` for, which decodes it up to four times."""
    for _ in range(5):
        segments = [segment.partition(";")[0].strip() for segment in path.replace("\\", "/").split("/")]
        yield posixpath.normpath("/".join(segments))
        path = unquote(path)


@given(st.one_of(st.lists(ODD).map("".join), st.text(max_size=20)), st.sampled_from(["/v1/", "/v1/proxy/", "/v1", ""]))
@example("%25252e%25252e/x", "/v1/")
def test_no_path_ever_leaves_the_base(rest, root):
    try:
        url = forward_url(BASE, root + rest, "")
    except BadRequest:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "api.example.com", "", "")
    assert url.startswith(BASE)
    assert all(re.match(r"/v1(/|$)", place) for place in resolved(parts.path))
    assert url.isascii()
    assert not re.search(r"[\x00-\x20\x7f]", url)


UNRESERVED = "abcXYZ019-._~!$&'()*+,=:@"
SEGMENT = st.lists(
    st.one_of(st.sampled_from(UNRESERVED), st.sampled_from(["%2F", "%2f", "%20", "%C3%A4", "%3F", "%23", "%25"])),
    min_size=1,
).map("".join)


def is_clean(segments):
    path = "/" + "/".join(segments)
    for _ in range(MAX_ENCODINGS):
        path = unquote(path)
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return False
    steps = any(step.strip() in {".", ".."} for step in path.split("/"))
    return (
        not steps
        and not path.startswith("//")
        and not re.match(r"/[A-Za-z][A-Za-z0-9+.-]*:/", path)
        and path == unquote(path)
    )


@given(st.lists(SEGMENT, min_size=1, max_size=6).filter(is_clean), st.sampled_from(["", "a=b&c=%2F", "q=a+b"]))
def test_a_clean_path_reaches_the_provider_byte_for_byte(segments, query):
    rest = "/".join(segments)
    expected = f"{BASE}/{rest}" + (f"?{query}" if query else "")
    assert forward_url(BASE, f"/v1/proxy/{rest}", query) == expected


# its headers

FACTS = CallFacts("m", stream=False, strict=False, headers={}, settings={"openai_organization": "org-1"})
PROVIDERS = load_providers()


def authorised(secret, headers):
    headers["authorization"] = f"Bearer {secret.reveal()}"


PLAIN = Provider("plain", "Plain", BASE, authorised, {}, default_headers={"x-version": "1"})


def sent(caller, key=None, provider=PLAIN, **how):
    return forward_headers(caller, provider, FACTS, key, **how)


def test_what_the_caller_says_of_the_request_arrives_as_it_came():
    caller = {
        "content-type": 'multipart/form-data; boundary="a b"',
        "accept": "application/json",
        "user-agent": "OpenAI/Python 2.1",
        "x-stainless-lang": "python",
        "idempotency-key": "k",
        "range": "bytes=0-9",
    }
    assert sent(caller) == {**caller, "x-version": "1"}


@pytest.mark.parametrize("name", [
    "authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "x-portkey-api-key", "x-portkey-config",
    "cookie", "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "expect",
    "content-length", "accept-encoding", "forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host",
    "metadata-flavor", "x-aws-ec2-metadata-token", "x-google-metadata-request",
])  # fmt: skip
@pytest.mark.parametrize("streamed", [True, False])
def test_what_belongs_to_the_gateway_or_the_network_stays_here(name, streamed):
    if name == "content-length" and streamed:
        assert sent({name: "5"}, streamed=True)[name] == "5"
    else:
        assert name not in sent({name: "sk-sentinel", "x-keep": "1"}, streamed=streamed)


def test_what_a_caller_names_as_its_connections_own_stays_here():
    caller = {"connection": "close, X-Hop , x-other", "x-hop": "1", "x-other": "2", "x-keep": "3"}
    assert sent(caller) == {"x-keep": "3", "x-version": "1"}


def test_the_destinations_credential_is_the_only_one():
    headers = sent({"authorization": "Bearer pk-caller", "x-api-key": "pk-caller"}, Secret("sk-provider"))
    assert headers["authorization"] == "Bearer sk-provider"
    assert "pk-caller" not in str(headers)


def test_the_callers_headers_win_over_the_providers_defaults_and_lose_to_the_credentials_settings():
    assert sent({"x-version": "2"})["x-version"] == "2"
    openai = PROVIDERS["openai"]
    assert sent({"openai-organization": "org-other"}, provider=openai)["openai-organization"] == "org-1"
    caller = {"anthropic-version": "2099-01-01", "x-portkey-anthropic-beta": "b-1"}
    headers = sent(caller, Secret("k"), PROVIDERS["anthropic"])
    assert headers == {"anthropic-version": "2099-01-01", "anthropic-beta": "b-1", "x-api-key": "k"}


@pytest.mark.parametrize(
    ("encoding", "kept"), [("gzip", False), ("GZIP", False), ("br", False), ("aws-chunked", True), ("gzip, gzip", True)]
)
def test_a_packing_that_was_undone_on_the_way_in_is_not_claimed(encoding, kept):
    headers = sent({"content-encoding": encoding, "content-length": "9"}, streamed=True)
    assert ("content-encoding" in headers, "content-length" in headers) == (kept, kept)


# its answer


@pytest.fixture
async def client():
    made = UpstreamClient(frozenset({"127.0.0.1"}))
    yield made
    await made.close()


@pytest.fixture
def exchange():
    made = Exchange("id", kit.call(), read_trace({}), decision=DecisionTrace(lambda: 0.0))
    made.principal = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W"))
    return made


def reply(body, *headers, status=b"200 OK", length=None):
    lines = b"".join(header + b"\r\n" for header in headers)
    size = len(body) if length is None else length
    return b"HTTP/1.1 " + status + b"\r\n" + lines + b"content-length: %d\r\n\r\n" % size + body


JSON = b"content-type: application/json"
STREAMED = CallFacts("m", stream=True, strict=True, headers={}, settings={})


def forward_answer(response, exchange, clock, usage=None):
    """Return the answer of a call that nobody reads, or of one whose tokens are read by `usage`."""
    operation = replace(chat("openai"), usage=usage) if usage else None
    return RawRelay(response, exchange, clock, operation=operation, facts=STREAMED).answer()


async def relayed(client, exchange, step, usage=None, **call):
    """Return (answer, its body) of one forwarded call."""
    async with RawServer(step) as server:
        answer = forward_answer(await client.send(server.call(**call)), exchange, lambda: 7.0, usage)
        try:
            return answer, b"".join([piece async for piece in answer.frames])
        finally:
            answer.on_close()


async def test_an_answer_keeps_its_status_type_headers_and_bytes(client, exchange):
    step = reply(
        b"\x00\xff",
        b'Content-Type: audio/MPEG; x="a b"',
        b"x-request-id: r1",
        b"set-cookie: a=b",
        status=b"206 Partial",
    )
    answer, body = await relayed(client, exchange, step)
    assert (answer.status, answer.content_type, answer.headers) == (206, 'audio/MPEG; x="a b"', {"x-request-id": "r1"})
    assert (body, answer.length) == (b"\x00\xff", 2)
    assert (exchange.answer_bytes, exchange.first_byte_s, exchange.answer_json) == (2, 7.0, b"")


async def test_an_answer_is_handed_on_while_it_arrives(client, exchange):
    async def rest(writer):
        await told.wait()
        writer.write(b"5\r\nworld\r\n0\r\n\r\n")

    told = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello \r\n"
    async with RawServer([head, rest]) as server:
        answer = forward_answer(await client.send(server.call()), exchange, lambda: 7.0)
        assert (answer.content_type, answer.length) == ("", None)
        frames = answer.frames
        assert await asyncio.wait_for(anext(frames), 5) == b"hello "
        assert (exchange.first_byte_s, exchange.answer_bytes) == (7.0, 6)
        told.set()
        assert [piece async for piece in frames] == [b"world"]
        answer.on_close()


async def test_an_unpacked_answer_does_not_claim_the_packed_length(client, exchange):
    packed = gzip.compress(b'{"a":1}')
    answer, body = await relayed(client, exchange, reply(packed, JSON, b"content-encoding: gzip"))
    assert (body, answer.length, "content-encoding" in answer.headers) == (b'{"a":1}', None, False)


@pytest.mark.parametrize("kind", [JSON, b"Content-Type: Application/JSON; charset=utf-8"])
async def test_a_small_json_answer_is_kept_with_its_model_and_its_tokens(client, exchange, kind):
    content = b'{"model": "m-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n'
    _, body = await relayed(client, exchange, reply(content, kind), usage_of)
    assert (body, exchange.answer_json) == (content, content)
    assert (exchange.usage, exchange.model_served) == (Usage(3, 4), "m-1")
    assert exchange.answer_body["model"] == "m-1"


@pytest.mark.parametrize("step", [
    reply(b'{"usage": {"prompt_tokens": 3}}', b"content-type: text/plain"),
    reply(b'{"usage": {"prompt_tokens": 3}', JSON),
    reply(b"", JSON),
    reply(b'{"a": "\xff"}', JSON),
    reply(b'{"usage": {"prompt_tokens": 3}, "x": "' + b"y" * KEPT_COUNTED_BYTES + b'"}', JSON),
])  # fmt: skip
async def test_what_is_no_whole_small_json_is_not_kept(client, exchange, step):
    await relayed(client, exchange, step, usage_of)
    assert (exchange.answer_json, exchange.answer_body, exchange.usage) == (b"", None, NO_USAGE)


async def test_json_of_just_the_limit_is_kept(client, exchange):
    content = b'"' + b"y" * (KEPT_JSON_BYTES - 2) + b'"'
    await relayed(client, exchange, reply(content, JSON), usage_of)
    assert (exchange.answer_json, exchange.answer_body) == (content, None)


@pytest.mark.parametrize("step", [
    [reply(b'{"a":1}', JSON, length=20), CLOSE],
    [b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n', CLOSE],
])  # fmt: skip
async def test_an_answer_that_breaks_off_raises_and_leaves_nothing_that_looks_whole(client, exchange, step):
    with pytest.raises(UpstreamBroken):
        await relayed(client, exchange, step, usage_of)
    assert (exchange.answer_json, exchange.answer_body, exchange.answer_bytes) == (b"", None, 7)
    assert (exchange.error_class, exchange.error_type) == ("UpstreamBroken", "upstream_broken")


async def test_an_answer_to_head_has_its_length_and_no_bytes(client, exchange):
    step = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"
    answer, body = await relayed(client, exchange, step, method="HEAD", body=b"")
    assert (answer.status, answer.length, body) == (200, 5000, b"")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n"]
)
async def test_an_answer_whose_caller_was_revoked_breaks_off(client, exchange, head):
    async with RawServer(head + b"half") as server:
        relay = RawRelay(await client.send(server.call()), exchange, lambda: 7.0)
        frames = relay.frames()
        assert await anext(frames) == b"half"
        assert not relay.is_denied(frozenset({"k:other"}))
        assert relay.is_denied(frozenset(exchange.principal.denial_ids()[:1]))
        relay.refuse()
        with pytest.raises(Unauthenticated):
            await anext(frames)
        assert exchange.error_class == "Unauthenticated"


async def test_giving_an_answer_up_drops_the_providers_connection(client, exchange):
    async with RawServer(reply(b"half", length=100)) as server:
        answer = forward_answer(await client.send(server.call()), exchange, lambda: 7.0)
        assert await anext(answer.frames) == b"half"
        answer.on_close()
        await asyncio.wait_for(server.lost.wait(), 5)


# what a path leads to


@pytest.mark.parametrize(("target", "operation"), [
    ("/v1/proxy/chat/completions", "chat"), ("/v1/chat/completions?x=1", "chat"), ("/v1/completions", "complete"), ("/v1/messages", "messages"),
    ("/v1/chat/completions/", "chat"), ("/v1/chat//completions", "chat"), ("/v1/chat%2Fcompletions", "chat"), ("/v1/Chat/Completions", "chat"),
    ("/v1/chat/completions;x=1", "chat"), ("/v1/chat%252fcompletions", "chat"), ("/v1/chat%5Ccompletions", "chat"), ("/v1/proxy/v1/embeddings", "embed"),
    ("/v1/openai/deployments/d/chat/completions", "chat"), ("/v1/files", None), ("/v1/audio/transcriptions", None), ("/v1/responses/r-1", None),
    ("/v1/chat/completions/c-1", None), ("", None),
])  # fmt: skip
def test_an_endpoint_is_recognised_however_its_path_is_spelt(target, operation):
    assert json_operation(target) == operation


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_the_method_that_was_checked_cannot_be_made_another(name):
    facts = CallFacts("", False, True, {}, {})
    assert name not in forward_headers({name: "POST", "x-mine": "1"}, load_providers()["openai"], facts, None)


def test_text_in_a_header_leaves_as_the_bytes_it_came_as():
    facts = CallFacts("", False, True, {}, {})
    caller = {"x-mine": "日本", "x-portkey-openai-project": "é"}
    headers = forward_headers(caller, load_providers()["openai"], facts, None)
    assert headers["x-mine"].encode("latin-1") == "日本".encode()
    assert headers["openai-project"].encode("latin-1") == "é".encode()


@pytest.mark.parametrize(("counted", "kept"), [(True, True), (False, False)])
async def test_a_larger_answer_is_kept_when_it_says_what_the_call_cost(client, exchange, counted, kept):
    step = reply(b'{"usage": {"prompt_tokens": 3}, "x": "' + b"y" * KEPT_JSON_BYTES + b'"}', JSON)
    await relayed(client, exchange, step, usage_of if counted else None)
    assert (exchange.usage.input == 3, bool(exchange.answer_json)) == (kept, kept)


def test_a_body_in_chunks_has_no_stated_length():
    facts = CallFacts("", False, True, {}, {})
    caller = {"transfer-encoding": "chunked", "content-length": "5"}
    headers = forward_headers(caller, load_providers()["openai"], facts, None, streamed=True)
    assert not {"content-length", "transfer-encoding"} & set(headers)
