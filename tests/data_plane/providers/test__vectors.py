"""Do callers get vectors as they ask for them, and are they counted?"""

import copy
import struct
from base64 import b64decode
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers._vectors import decode_rows, embedding, pack, vector_list, vector_usage
from shared.errors import UpstreamInvalid

ROW = {"object": "embedding", "index": 0, "embedding": [0.5, -2.0]}


@pytest.fixture
def asking(facts):
    def make(encoding=None, *, strict=True):
        return replace(facts("e-1", strict=strict), asked={"encoding_format": encoding} if encoding else {})

    return make


def unpacked(text):
    content = b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def test_a_packed_vector_is_what_openais_clients_unpack():
    assert unpacked(pack([0.5, -2.0, 3], "p")) == [0.5, -2.0, 3.0]
    assert pack([], "p") == ""


@pytest.mark.parametrize("vector", ["AAAA", None, {"float": [1.0]}, [[1.0], [2.0]]])
def test_what_is_no_list_of_numbers_stays_as_it_is(vector):
    assert pack(vector, "p") == vector


@pytest.mark.parametrize("vector", [["a"], [None], [1e300], [{}]])
def test_a_list_of_something_else_is_refused(vector):
    with pytest.raises(UpstreamInvalid):
        pack(vector, "p")


@pytest.mark.parametrize(("encoding", "given_vector", "got"), [
    (None, [0.5], [0.5]), ("float", [0.5], [0.5]), ("base64", [0.5], "AAAAPw=="), ("base64", "AAAAPw==", "AAAAPw=="),
])  # fmt: skip
def test_rows_and_bare_vectors_are_packed_if_asked(asking, encoding, given_vector, got):
    answer = {"data": [{"embedding": given_vector}], "usage": {"total_tokens": 3}}
    rows = decode_rows(copy.deepcopy(answer), asking(encoding), provider="p")
    assert rows["data"] == [{"object": "embedding", "index": 0, "embedding": got}]
    assert vector_list([given_vector], {}, asking(encoding), provider="p")["data"] == rows["data"]


def test_an_answer_is_openais_and_counted(asking):
    made = decode_rows({"data": [copy.deepcopy(ROW)], "usage": {"total_tokens": 3}}, asking(), provider="p")
    CreateEmbeddingResponse.model_validate(made)
    assert (made["model"], made["usage"], list(made)[-1]) == (
        "e-1",
        {"prompt_tokens": 3, "total_tokens": 3},
        "provider",
    )
    listed = vector_list([[0.5]], {"model": "e-2", "usage": {"prompt_tokens": 4}}, asking(), provider="p")
    CreateEmbeddingResponse.model_validate(listed)
    assert (listed["model"], vector_usage(listed)) == ("e-2", Usage(4))


def test_what_else_a_provider_counts_is_kept_for_who_wants_it(asking):
    answer = {"data": [ROW], "usage": {"total_tokens": 3, "image_pixels": 9}}
    assert decode_rows(copy.deepcopy(answer), asking(strict=False), provider="p")["usage"]["image_pixels"] == 9
    assert "image_pixels" not in decode_rows(copy.deepcopy(answer), asking(), provider="p")["usage"]


def test_an_answer_that_counts_nothing_has_no_usage(asking):
    made = decode_rows({"data": [ROW]}, asking(), provider="p")
    assert ("usage" in made, vector_usage(made)) == (False, NO_USAGE)


def test_a_list_for_each_token_is_let_be(asking):
    row = {"index": 0, "embeddings": [[1.0], [2.0]]}
    assert decode_rows({"data": [dict(row)]}, asking("base64"), provider="p")["data"][0]["embeddings"] == [[1.0], [2.0]]


@pytest.mark.parametrize(("answer", "told"), [
    ({}, "Invalid"), ({"data": 1}, "Invalid"), ({"data": [1]}, "Invalid"), ({"data": [{}]}, "Invalid"),
    ({"detail": "no"}, "p error: no"), ({"message": "no"}, "p error: no"), ({"error": {"message": "no"}}, "p error: no"),
])  # fmt: skip
def test_what_holds_no_vectors_is_refused(asking, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode_rows(answer, asking(), provider="p")


def test_a_bare_vector_is_a_list_or_packed(asking):
    with pytest.raises(UpstreamInvalid):
        vector_list([1.0], {}, asking(), provider="p")


def test_an_operation_is_told_whose_it_is(asking):
    made = embedding("p", "/e", lambda body, _facts, provider: {**body, "by": provider})
    assert made.encode({}, asking()) == {"by": "p"}
    assert made.fault(400, {"detail": "no"}).message == "no"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["embedding", "embeddings", "index", "total_tokens", "prompt_tokens"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(answer=st.dictionaries(st.sampled_from(["data", "usage", "error", "model"]), JSON), base64=st.booleans())
def test_whatever_comes_is_translated_or_refused(answer, base64):
    facts = CallFacts("m", False, True, {}, {}, False, {"encoding_format": "base64" if base64 else None})
    vectors = answer.get("data") if isinstance(answer.get("data"), list) else []
    outcomes = []
    for run in (
        lambda: vector_list(vectors, answer, facts, provider="p"),
        lambda: decode_rows(copy.deepcopy(answer), facts, provider="p"),
    ):
        try:
            outcomes.append(run())
        except UpstreamInvalid as refusal:
            outcomes.append(refusal.body())
    assert all(isinstance(orjson.dumps(outcome), bytes) for outcome in outcomes)
