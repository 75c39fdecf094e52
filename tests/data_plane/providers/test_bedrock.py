"""What is peculiar to Bedrock: the model in the path, two ways of authorising, and where an account lives."""

import datetime as dt

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, UpstreamRequest, Usage
from data_plane.providers._aws import EventStreamSplitter
from data_plane.providers.bedrock import PROVIDER
from shared.addresses import fill_address
from shared.errors import BadRequest, Unsupported
from shared.redact import Secret
from tests.data_plane.gateway_kit import gateway
from tests.fakes import aws
from tests.fakes.provider import FakeProvider, Reply

CHAT = PROVIDER.operations["chat"]
ACCESS = {"aws_access_key_id": "AKID", "aws_secret_access_key": Secret("s3cret"), "aws_region": "eu-west-1"}


def facts(model="m", *, stream=False, **settings):
    return CallFacts(model, stream, True, {}, settings)


def sign(key=None, *, upload=None, **settings):
    request = UpstreamRequest("https://h.example/model/m/converse", {}, b"{}", False, None, upload=upload)
    PROVIDER.sign(request, key, facts(**settings))
    return request.headers


@pytest.mark.parametrize(("model", "stream", "path"), [
    ("amazon.nova-pro-v1:0", False, "/model/amazon.nova-pro-v1%3A0/converse"),
    ("eu.anthropic.claude-x", True, "/model/eu.anthropic.claude-x/converse-stream"),
    ("arn:aws:bedrock:us-east-1:1:inference-profile/us.x", False,
     "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse"),
    ("a/../../b?c#d", False, "/model/a%2F..%2F..%2Fb%3Fc%23d/converse"),
])  # fmt: skip
def test_the_model_stands_in_the_path_and_cannot_leave_its_place(model, stream, path):
    assert CHAT.path_for(facts(model, stream=stream)) == path


@pytest.mark.parametrize("model", [".", "..", ""])
def test_a_model_that_is_a_step_is_refused(model):
    with pytest.raises(BadRequest):
        CHAT.path_for(facts(model))


def test_embeddings_images_and_ranks_are_invoked():
    paths = [PROVIDER.operations[name].path_for(facts("x.y:0")) for name in ("embed", "image", "rerank")]
    assert paths == ["/model/x.y%3A0/invoke"] * 3


@pytest.mark.parametrize("name", ["embed", "rerank"])
def test_what_an_invoked_model_does_not_count_stands_in_a_header(name):
    assert PROVIDER.operations[name].usage_of_headers({"x-amzn-bedrock-input-token-count": "7"}) == Usage(7)


def test_an_account_lives_in_its_region():
    assert fill_address(PROVIDER.base_url, ACCESS) == "https://bedrock-runtime.eu-west-1.amazonaws.com"


def test_streams_are_binary():
    assert CHAT.framing.content_type == "application/vnd.amazon.eventstream"
    assert isinstance(CHAT.framing.splitter(), EventStreamSplitter)


def test_an_access_key_signs():
    authorization = sign(**ACCESS)["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/bedrock/aws4_request" in authorization
    assert "s3cret" not in str(sign(**ACCESS))


def test_a_temporary_access_key_brings_its_token():
    headers = sign(**ACCESS, aws_session_token=Secret("tok"))
    assert headers["x-amz-security-token"] == "tok"
    assert "x-amz-security-token" in headers["authorization"]


def test_an_api_key_is_a_bearer_token():
    assert sign(Secret("bedrock-key"), aws_region="eu-west-1") == {"authorization": "Bearer bedrock-key"}


def test_an_access_key_wins_over_a_key_that_the_client_could_not_help_sending():
    assert sign(Secret("dummy"), **ACCESS)["authorization"].startswith("AWS4-HMAC-SHA256")


@pytest.mark.parametrize("settings", [{}, {"aws_access_key_id": "AKID"}, {"aws_secret_access_key": Secret("x")}])
def test_without_a_whole_credential_nothing_is_sent(settings):
    with pytest.raises(BadRequest, match="bedrock needs an API key, or aws_access_key_id and aws_secret_access_key"):
        sign(aws_region="eu-west-1", **settings)


def test_a_signature_needs_a_region():
    with pytest.raises(BadRequest) as refusal:
        sign(**{**ACCESS, "aws_region": ""})
    assert refusal.value.path == "aws_region"


@pytest.mark.parametrize("way", ["assumedRole", "serviceRole"])
def test_an_identity_is_asked_for_and_nothing_is_signed_without_it(way):
    role = {"aws_role_arn": "arn:aws:iam::123456789012:role/r"}
    ask = PROVIDER.token(Secret("dummy"), facts(aws_auth_type=way, **ACCESS, **role))
    assert ask.hosts.fullmatch("bedrock-runtime.eu-west-1.amazonaws.com")
    with pytest.raises(Unsupported) as refusal:
        sign(aws_auth_type=way, **ACCESS)
    assert refusal.value.path == "aws_auth_type"


def test_an_account_with_a_key_asks_for_nothing():
    assert PROVIDER.token(None, facts(**ACCESS)) is None


def test_a_body_that_is_still_arriving_cannot_be_signed():
    with pytest.raises(Unsupported, match="while it arrives"):
        sign(upload=object(), **ACCESS)


def test_prices_are_those_of_aws():
    assert PROVIDER.price_source == "aws"


# through a gateway

EVENTS = [
    ("messageStart", {"role": "assistant"}), ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}), ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2}, "metrics": {"latencyMs": 1}}),
]  # fmt: skip
FAILED = aws.event("throttlingException", {"message": "slow down"}, kind="exception")


async def call(tmp_path, reply, **body):
    """Make a call with the caller's own access key; return (status, answer, what Bedrock saw, record)."""
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": "bedrock", "x-portkey-custom-host": fake.origin, "x-portkey-aws-region": "eu-west-1",
            "x-portkey-aws-access-key-id": "AKID", "x-portkey-aws-secret-access-key": "s3cret",
        }  # fmt: skip
        sent = {"model": "amazon.nova-pro-v1:0", "messages": [{"role": "user", "content": "hé"}], **body}
        status, answered, _ = await gw.send(sent, headers)
        return status, answered, fake.seen[0], fake.origin, gw.recorded.last


def streamed(content):
    return Reply(body=content, headers={"content-type": "application/vnd.amazon.eventstream"})


async def test_what_is_sent_has_the_signature_that_bedrock_computes(tmp_path, monkeypatch):
    content = b"".join(aws.event(*each) for each in EVENTS)
    _, _, seen, origin, _ = await call(tmp_path, streamed(content), stream=True)
    stamp = dt.datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: stamp.replace(tzinfo=None))
    again = botocore.awsrequest.AWSRequest(
        method=seen.method, url=origin + seen.target, data=seen.body,
        headers={"content-type": seen.headers["content-type"]},
    )  # fmt: skip
    botocore.auth.SigV4Auth(botocore.credentials.Credentials("AKID", "s3cret"), "bedrock", "eu-west-1").add_auth(again)
    assert seen.target == "/model/amazon.nova-pro-v1%3A0/converse-stream"
    assert seen.headers["authorization"] == again.headers["Authorization"]


async def test_a_binary_stream_reaches_the_caller_as_openais(tmp_path):
    content = b"".join(aws.event(*each) for each in EVENTS)
    status, answered, _, _, record = await call(tmp_path, streamed(content), stream=True)
    frames = answered.decode().split("\n\n")
    chunks = [orjson.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert (status, frames[-2:]) == (200, ["data: [DONE]", ""])
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "hi"
    assert (record.tok_in, record.tok_out, record.model_served) == (3, 2, "amazon.nova-pro-v1:0")


async def test_an_exception_inside_a_stream_is_told_behind_what_came_before(tmp_path):
    content = b"".join(aws.event(*each) for each in EVENTS[:2]) + FAILED
    status, answered, _, _, _ = await call(tmp_path, streamed(content), stream=True)
    assert (status, answered.count(b"[DONE]"), answered.count(b'"content":"hi"')) == (200, 0, 1)
    assert b"bedrock error: slow down" in answered.rsplit(b"data: ", 1)[1]


async def test_an_exception_before_the_answer_is_an_error(tmp_path):
    status, answered, _, _, _ = await call(tmp_path, streamed(FAILED), stream=True)
    assert status == 502
    assert b"bedrock error: slow down" in answered


async def test_an_error_keeps_its_status_and_sentence(tmp_path):
    reply = Reply(403, json={"Message": "User is not authorized"})
    status, answered, _, _, _ = await call(tmp_path, reply)
    assert (status, orjson.loads(answered)["error"]["message"]) == (403, "bedrock error: User is not authorized")


# whatever is sent

TEXTS = st.sampled_from(["", " ", "hi", "weather \n", "é🦆"])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}},
              st.sampled_from(["data:image/png;base64,AAAA", "data:image/gif,ab", "https://x.example/a.png", "s3://b/a.png", ""])),
    st.builds(lambda file: {"type": "file", "file": file},
              st.sampled_from([{"file_data": "AAAA", "filename": "a  b.pdf"}, {"file_data": "data:text/csv,a"}, {}])),
    st.just({"type": "text", "text": "kept", "cache_control": {"type": "ephemeral"}}),
)  # fmt: skip
CALLS = st.builds(
    lambda name, arguments: {"id": name, "type": "function", "function": {"name": "f", "arguments": arguments}},
    st.sampled_from(["a", "call/1", "x" * 70]), st.sampled_from(["", "{}", '{"a":[1]}']),
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content},
              st.sampled_from(["system", "user", "user", "assistant"]), st.one_of(TEXTS, st.lists(PARTS, max_size=3))),
    st.builds(lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, st.lists(CALLS, min_size=1, max_size=2)),
    st.builds(lambda name, content: {"role": "tool", "tool_call_id": name, "content": content}, st.sampled_from(["a", "call/1"]), TEXTS),
)  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}]
OPTIONS = st.fixed_dictionaries({}, optional={
    "tools": st.just(TOOLS), "tool_choice": st.sampled_from(["auto", "none", "required"]), "stop": st.sampled_from(["a", ["b", ""]]),
    "max_tokens": st.integers(1, 9), "reasoning_effort": st.sampled_from(["none", "low", "max"]), "parallel_tool_calls": st.booleans(),
    "temperature": st.sampled_from([0, 0.5]), "invented": st.integers(-(2**63), 2**63 - 1), "service_tier": st.sampled_from(["auto", "flex"]),
})  # fmt: skip


@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=6), options=OPTIONS,
    model=st.sampled_from(["anthropic.claude-3-haiku", "us.anthropic.claude-opus-4-7", "amazon.nova-pro-v1:0", "openai.gpt-oss-20b-1:0"]),
)  # fmt: skip
def test_whatever_is_sent_fits_bedrocks_own_description_or_is_refused(messages, options, model):
    body = {"messages": messages, **options}
    before = orjson.dumps(body)
    try:
        problems = aws.converse_problems(CHAT.encode(body, facts(model)))
    except BadRequest as refusal:
        problems = "" if refusal.path else "no path"
    assert problems == ""
    assert orjson.dumps(body) == before
