"""Do embeddings reach each family of models on Bedrock in its own words?"""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from data_plane.core.types import CallFacts
from data_plane.providers._invoke_embed import LEFT_OUT, decode_answer, encode_request
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

TITAN, OLD_TITAN, PICTURES = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1", "amazon.titan-embed-image-v1"
COHERE = "us.cohere.embed-v4:0"


@pytest.fixture
def encode(facts):
    def run(model, given="hi", **body):
        whole = {"model": "@x/y", "input": given, **body}
        before = copy.deepcopy(whole)
        made = encode_request(whole, facts(model), provider="bedrock")
        assert whole == before
        return made

    return run


@pytest.mark.parametrize("given", ["hi", ["hi"], [{"text": "hi"}]])
def test_titan_embeds_one_text(encode, given):
    assert encode(OLD_TITAN, given, user="u", encoding_format="base64") == {"inputText": "hi"}
    assert encode(TITAN, given, dimensions=256, normalize=False) == {
        "inputText": "hi",
        "dimensions": 256,
        "normalize": False,
    }


def test_titan_embeds_pictures_with_and_without_a_text(encode):
    image = {"image": {"base64": "AAAA"}}
    assert encode(PICTURES, [image], dimensions=384) == {
        "inputImage": "AAAA",
        "embeddingConfig": {"outputEmbeddingLength": 384},
    }
    assert encode(PICTURES, [{"text": "t", "image": {"url": "data:image/png;base64,AAAA"}}]) == {
        "inputText": "t",
        "inputImage": "AAAA",
    }
    assert encode(PICTURES, "t") == {"inputText": "t"}


def test_cohere_embeds_many_texts(encode):
    assert encode(COHERE, ["a", "b"], dimensions=512, truncate="RIGHT", input_type="search_query", encoding_format="float") == {
        "texts": ["a", "b"], "input_type": "search_query", "output_dimension": 512, "truncate": "RIGHT",
    }  # fmt: skip


@pytest.mark.parametrize(("model", "given", "told"), [
    (TITAN, ["a", "b"], "one input per call"), (TITAN, [{"image": {"base64": "A"}}], "only texts"),
    (TITAN, [{"text": "a", "image": {"base64": "A"}}], "only texts"), (TITAN, [1, 2], "not tokens"), (COHERE, [[1]], "not tokens"),
    (PICTURES, [{"image": {"url": "https://x.example/a.png"}}], "does not fetch URLs"), ("amazon.nova-pro", "a", "no embeddings"),
])  # fmt: skip
def test_what_a_model_cannot_embed_is_unsupported(encode, model, given, told):
    with pytest.raises(Unsupported, match=told):
        encode(model, given)


@pytest.mark.parametrize(
    ("model", "given"), [(TITAN, []), (TITAN, None), (COHERE, [None]), (PICTURES, [{}]), (PICTURES, [{"image": {}}])]
)
def test_what_is_no_input_is_refused(encode, model, given):
    with pytest.raises(BadRequest):
        encode(model, given)


def test_what_changes_nothing_is_left_out(encode):
    assert encode(TITAN, **dict.fromkeys(LEFT_OUT, "x")) == encode(TITAN)


def decode(facts, model, answer):
    made = decode_answer(answer, facts(model), provider="bedrock")
    CreateEmbeddingResponse.model_validate({"usage": {"prompt_tokens": 0, "total_tokens": 0}, **made})
    return made


def test_titans_vector_is_a_list_of_one(facts):
    told = {"embedding": [0.5, 1], "inputTextTokenCount": 3, "embeddingsByType": {"float": [0.5, 1]}}
    assert decode(facts, TITAN, told) == {
        "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}], "model": TITAN,
        "usage": {"prompt_tokens": 3, "total_tokens": 3}, "provider": "bedrock",
    }  # fmt: skip


@pytest.mark.parametrize(
    "vectors", [[[1.0], [2.0]], {"float": [[1.0], [2.0]]}, {"int8": [[7], [8]], "float": [[1.0], [2.0]]}]
)
def test_coheres_vectors_are_a_list_and_uncounted(facts, vectors):
    made = decode(facts, COHERE, {"id": "x", "embeddings": vectors, "texts": ["a", "b"]})
    assert [row["embedding"] for row in made["data"]] == [[1.0], [2.0]]
    assert "usage" not in made


@pytest.mark.parametrize("model", [TITAN, COHERE])
def test_an_error_in_place_of_vectors_is_told(facts, model):
    with pytest.raises(UpstreamInvalid, match="bedrock error: no"):
        decode(facts, model, {"message": "no"})
    with pytest.raises(UpstreamInvalid, match="Invalid response"):
        decode(facts, model, {"embedding": 1, "embeddings": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "image", "url", "base64", "float"]), inner),
    max_leaves=6,
)  # fmt: skip
MODELS = st.sampled_from([TITAN, PICTURES, COHERE, "x"])


@given(
    model=MODELS,
    given=JSON,
    answer=st.dictionaries(st.sampled_from(["embedding", "embeddings", "inputTextTokenCount", "message"]), JSON),
)
def test_whatever_comes_is_translated_or_refused(model, given, answer):
    facts = CallFacts(model, False, True, {}, {})
    outcomes = []
    try:
        outcomes.append(encode_request({"input": given}, facts, provider="bedrock"))
    except BadRequest as refusal:
        outcomes.append(refusal.body())
    try:
        outcomes.append(decode_answer(answer, facts, provider="bedrock"))
    except UpstreamInvalid as refusal:
        outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
