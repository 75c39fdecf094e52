"""Lines: cut anywhere, translated one by one, and whatever they hold only ever refused by name."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.pipeline.bulk.lines import LineEncoder, LineSplitter, decode_line, line_too_long, result_too_long
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, Forbidden, UpstreamInvalid

NOVA = "amazon.nova-pro-v1:0"
FACTS = {
    "bedrock": CallFacts("", False, True, {}, {"aws_region": "eu-west-1"}),
    "vertex-ai": CallFacts("", False, True, {}, {"vertex_project_id": "proj", "vertex_region": "europe-west1"}),
}
TEXTS = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXTS,
    lambda of: (
        st.lists(of, max_size=3)
        | st.dictionaries(TEXTS | st.sampled_from(["role", "content", "type", "text"]), of, max_size=3)
    ),
    max_leaves=6,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "messages",
            "model",
            "tools",
            "tool_choice",
            "max_tokens",
            "stop",
            "stream",
            "input",
            "response_format",
            "n",
            "x",
        ]
    ),
    JSON,
)
ASKED = st.fixed_dictionaries({}, optional={
    "custom_id": TEXTS | JSON, "method": st.just("POST") | JSON, "url": st.sampled_from(["/v1/chat/completions", "/v1/embeddings"]) | JSON,
    "body": BODIES | JSON, "messages": JSON, "prompt": JSON,
})  # fmt: skip


def encoder(provider="bedrock", purpose="", model="", allowed=lambda _model: None):
    bulk = load_providers()[provider].bulk
    facts = FACTS[provider]
    return LineEncoder(
        bulk.batches("https://x.example", facts), bulk.tunings("https://x.example", facts), facts, purpose, allowed,
        model=model, is_fixed=bool(model),
    )  # fmt: skip


@given(st.lists(st.binary(max_size=8), max_size=8), st.booleans(), st.data())
def test_lines_are_the_same_wherever_the_stream_is_cut(lines, ends, data):
    lines = [line.replace(b"\n", b"") for line in lines]
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    splitter = LineSplitter(line_too_long)
    found = []
    while content:
        size = data.draw(st.integers(1, len(content)))
        found += splitter.feed(content[:size])
        content = content[size:]
    found += splitter.close()
    expected = list(enumerate((b"\n".join(lines) + (b"\n" if ends else b"")).split(b"\n"), 1))
    assert found == (expected[:-1] if not expected[-1][1] else expected)


@pytest.mark.parametrize(("make", "error"), [(line_too_long, BadRequest), (result_too_long, UpstreamInvalid)])
def test_a_line_that_is_too_long_is_refused_before_it_is_held(make, error):
    for pieces in ([b"ab\n", b"c" * 6, b"c" * 6], [b"ab\n" + b"c" * 12 + b"\n"]):
        splitter = LineSplitter(make, 10)
        with pytest.raises(error, match="Line 2 "):
            for piece in pieces:
                splitter.feed(piece)


@pytest.mark.parametrize("provider", list(FACTS))
@given(
    line=ASKED.map(orjson.dumps) | st.binary(max_size=60),
    purpose=st.sampled_from(["", "batch", "fine-tune"]),
    model=st.sampled_from(["", NOVA, "gemini-2.5-flash", "claude-x", "x/y"]),
)
def test_any_line_is_translated_or_refused_with_its_number(provider, line, purpose, model):
    try:
        made = encoder(provider, purpose, model).encode(7, line)
    except BadRequest as refused:
        assert refused.message.startswith("Line 7 of the file")
    else:
        assert made == b"" or (made.endswith(b"\n") and isinstance(orjson.loads(made), dict))


@pytest.mark.parametrize("provider", list(FACTS))
@given(
    line=st.dictionaries(
        st.sampled_from(["recordId", "modelOutput", "error", "custom_id", "request", "response", "status"]), JSON
    ).map(orjson.dumps)
    | st.binary(max_size=60)
)
def test_any_result_is_a_line_of_openais(provider, line):
    told = decode_line(
        3, line, load_providers()[provider].bulk.batches("https://x.example", FACTS[provider]), FACTS[provider]
    )
    if told:
        read = orjson.loads(told)
        assert read.keys() == {"id", "custom_id", "response", "error"}
        assert (read["response"] is None) is not (read["error"] is None)


def test_a_line_is_deep_or_it_is_refused():
    with pytest.raises(BadRequest, match="Line 1 "):
        encoder(model=NOVA).encode(1, b'{"custom_id":"a","body":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_a_model_that_is_not_allowed_stays_a_403():
    def allowed(model):
        raise Forbidden(f"not {model}")

    with pytest.raises(Forbidden, match=f"Line 1 of the file: not {NOVA}"):
        encoder(model=NOVA, allowed=allowed).encode(
            1, b'{"custom_id":"a","body":{"messages":[{"role":"user","content":"a"}]}}'
        )


def test_the_purpose_is_read_off_the_first_line():
    made = encoder()
    made.encode(1, b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}')
    assert (made.purpose, made.count, made.encode(2, b" \r"), made.count) == ("fine-tune", 1, b"", 1)
    with pytest.raises(BadRequest, match="Line 2 "):
        made.encode(2, b'{"custom_id":"a","body":{}}')
