"""Do completions and the generate extension understand each other?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from data_plane.core.types import CallFacts
from data_plane.providers._generate import REFUSED, GenerateDecoder, decode_text, encode_prompt, model_step
from data_plane.providers.sse import SseSplitter
from shared.errors import BadRequest, Unsupported, UpstreamBroken, UpstreamInvalid


def test_a_prompt_becomes_the_text_and_what_is_unknown_passes(facts):
    body = {
        "model": "x",
        "prompt": "hi",
        "max_tokens": 5,
        "stop": "a",
        "temperature": 0,
        "top_k": 3,
        "user": "u",
        "n": 1,
    }
    before = orjson.dumps(body)
    assert encode_prompt(body, facts("m")) == {
        "text_input": "hi", "max_tokens": 5, "stop_words": ["a"], "temperature": 0, "top_k": 3,
    }  # fmt: skip
    assert orjson.dumps(body) == before
    assert encode_prompt({"prompt": ["hi"]}, facts(stream=True)) == {"text_input": "hi", "stream": True}


@pytest.mark.parametrize(("prompt", "error"), [
    (["a", "b"], Unsupported), ([1, 2], Unsupported), ([[1]], Unsupported), ({}, BadRequest), (None, BadRequest),
])  # fmt: skip
def test_one_text_is_completed(facts, prompt, error):
    with pytest.raises(error) as refusal:
        encode_prompt({"prompt": prompt}, facts())
    assert refusal.value.path == "prompt"


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_answer_is_refused(facts, name):
    with pytest.raises(Unsupported) as refusal:
        encode_prompt({"prompt": "a", name: 2}, facts())
    assert refusal.value.path == name


def test_a_model_is_one_step_of_the_path(facts):
    assert model_step(facts("a/b?c")) == "a%2Fb%3Fc"
    with pytest.raises(BadRequest):
        model_step(facts(".."))


@pytest.mark.parametrize("text", ["ho", ["h", "o"]])
def test_an_answer_is_a_completion_that_openais_client_reads(facts, text):
    answer = decode_text({"model_name": "m", "text_output": text}, facts("m"))
    read = Completion.model_validate(answer)
    assert (read.choices[0].text, read.choices[0].finish_reason, answer["provider"]) == ("ho", "stop", "triton")


@pytest.mark.parametrize("answer", [{}, {"text_output": 1}, {"text_output": [1]}, {"error": "no model"}])
def test_an_answer_without_text_is_refused(facts, answer):
    with pytest.raises(UpstreamInvalid):
        decode_text(answer, facts())


STREAM = b'data: {"model_name":"m","text_output":"h"}\n\ndata: {"text_output":"\xc3\xa9"}\n\n'


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_a_stream_is_the_same_however_it_is_cut(cuts):
    splitter, decoder = SseSplitter(), GenerateDecoder(CallFacts("m", True, True, {}, {}))
    places = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in itertools.pairwise(places) for event in splitter.feed(STREAM[start:end])]
    chunks = [chunk for event in [*events, *splitter.close()] for chunk in decoder.feed(*event)]
    read = [orjson.loads(chunk) for chunk in [*chunks, *decoder.close()]]
    assert "".join(each["choices"][0]["text"] for each in read) == "hé"
    assert len({each["id"] for each in read}) == 1
    assert [each["choices"][0]["finish_reason"] for each in read] == [None, None, "stop"]
    assert decoder.finished


def test_a_stream_that_said_nothing_is_not_complete(facts):
    assert not GenerateDecoder(facts()).finished


@pytest.mark.parametrize("data", [b'{"error":"out of memory"}', b"{}", b"[]", b"{", b'{"text_output":5}'])
def test_an_error_or_a_piece_that_is_none_breaks_the_stream(facts, data):
    with pytest.raises(UpstreamBroken):
        GenerateDecoder(facts()).feed("", data)
