"""Do ranks reach Cohere, and who ranks texts only, in its words?"""

import copy

import pytest

from data_plane.providers._cohere_rerank import encode_texts, rerank_texts
from shared.errors import BadRequest

BODY = {"model": "@x/y", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}


def test_documents_are_texts_and_stay_with_the_gateway(facts):
    before = copy.deepcopy(BODY)
    made = encode_texts({**BODY, "max_tokens_per_doc": 9, "user": "u"}, facts("rerank-v3.5"), limit="top_n")
    assert made == {
        "model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 1, "max_tokens_per_doc": 9,
    }  # fmt: skip
    assert before == BODY


def test_a_provider_has_its_own_word_for_the_limit(facts):
    made = rerank_texts("p", "/rerank", limit="top_k").encode(BODY, facts("r"))
    assert (made["top_k"], "top_n" in made) == (1, False)
    assert "top_k" not in encode_texts({**BODY, "top_n": None}, facts("r"), limit="top_k")


def test_what_is_no_document_is_refused(facts):
    with pytest.raises(BadRequest, match="documents"):
        encode_texts({"query": "q", "documents": [5]}, facts(), limit="top_n")


def test_what_is_translated_does_not_pass_unread():
    assert not rerank_texts("p", "/rerank").passes_through
