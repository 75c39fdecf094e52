"""Does OpenAI's shape pass through untouched, while the gateway learns what it must know?"""

import orjson
import pytest
from openai.types.chat import ChatCompletion

from data_plane.core.types import NO_USAGE, Usage
from data_plane.providers._openai_like import MAX_SENTENCE_CHARS, bearer, chat, key_in, read_fault, read_usage
from shared.errors import UpstreamBroken, UpstreamInvalid
from shared.redact import Secret

CHAT = chat("acme")
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-served"}


ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "x_new": 1,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}  # fmt: skip


def chunk(content=None, finish=None, index=0, **extra):
    delta = {} if content is None else {"content": content}
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **extra}


def compact(value):
    return orjson.dumps(value)


def test_the_key_is_written_as_a_bearer_token():
    headers = {}
    bearer(Secret("sk-1"), headers)
    assert headers == {"authorization": "Bearer sk-1"}


def test_a_key_may_have_a_header_of_its_own():
    headers = {}
    key_in("x-own")(Secret("sk-1"), headers)
    assert headers == {"x-own": "sk-1"}


class TestEncode:
    def test_every_parameter_passes_and_the_argument_stays_as_it_was(self, facts):
        body = {"model": "@a/m-1", "messages": [{"role": "user", "content": "x"}], "brand_new": {"deep": [1]}, "n": 2}
        before = orjson.dumps(body)
        assert CHAT.encode(body, facts()) == {**body, "model": "m-1"}
        assert orjson.dumps(body) == before

    @pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
    def test_a_stream_always_asks_for_its_tokens(self, facts, options):
        sent = CHAT.encode({"messages": [], "stream_options": options}, facts(stream=True))
        assert sent["stream_options"] == {"include_usage": True}

    def test_other_stream_options_are_kept(self, facts):
        body = {"stream_options": {"include_obfuscation": False}}
        assert CHAT.encode(body, facts(stream=True))["stream_options"] == {
            "include_obfuscation": False,
            "include_usage": True,
        }
        assert body == {"stream_options": {"include_obfuscation": False}}

    def test_stream_options_of_a_wrong_type_are_left_for_the_provider_to_refuse(self, facts):
        assert CHAT.encode({"stream_options": "x"}, facts(stream=True))["stream_options"] == "x"

    def test_a_whole_answer_is_not_asked_with_stream_options(self, facts):
        assert "stream_options" not in CHAT.encode({"messages": []}, facts())

    def test_a_host_that_does_not_know_stream_options_is_not_sent_any(self, facts):
        assert "stream_options" not in chat("old", asks_usage=False).encode({"messages": []}, facts(stream=True))


class TestDecode:
    def test_an_answer_gains_only_the_provider_at_its_end(self, facts):
        decoded = CHAT.decode(dict(ANSWER), facts())
        assert list(decoded.items()) == [*ANSWER.items(), ("provider", "acme")]
        ChatCompletion.model_validate(decoded)

    @pytest.mark.parametrize("answer", [{}, {"choices": None}, {"choices": {}}, {"choices": "x"}, {"message": "hi"}])
    def test_an_answer_without_choices_is_refused(self, facts, answer):
        with pytest.raises(UpstreamInvalid, match=r"Invalid response received from acme\."):
            CHAT.decode(answer, facts())

    def test_an_error_inside_a_200_is_told(self, facts):
        with pytest.raises(UpstreamInvalid, match="acme error: out of capacity"):
            CHAT.decode({"error": {"message": "out of capacity", "code": 502}}, facts())


class TestUsage:
    def test_every_count_is_read(self):
        told = {
            "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2},
        }  # fmt: skip
        assert read_usage(told) == Usage(100, 50, 60, 7, 30, 5, 2)

    def test_newer_endpoints_count_in_their_own_words(self):
        told = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 14}  # fmt: skip
        assert read_usage(told) == Usage(9, 5, cache_read=4, reasoning=2)

    @pytest.mark.parametrize("name", ["prompt_cache_hit_tokens", "cached_tokens"])
    def test_cached_tokens_have_other_names_elsewhere(self, name):
        assert read_usage({"prompt_tokens": 9, "completion_tokens": 1, name: 4}) == Usage(9, 1, cache_read=4)

    @pytest.mark.parametrize("usage", [None, {}, [], "x", 3, {"prompt_tokens": "5"}, {"prompt_tokens": True}])
    def test_what_counts_nothing_is_no_usage(self, usage):
        assert read_usage(usage) is NO_USAGE

    @pytest.mark.parametrize("odd", [None, "7", 1.5, True, [], {}])
    def test_a_strange_count_is_zero(self, odd):
        told = {"prompt_tokens": 3, "completion_tokens": odd, "prompt_tokens_details": {"cached_tokens": odd}}
        assert read_usage(told) == Usage(input=3)

    @pytest.mark.parametrize("absurd", [-1, -7, 10**9 + 1, 10**15])
    def test_a_count_that_no_call_can_have_makes_all_of_them_unbelievable(self, absurd):
        assert read_usage({"prompt_tokens": 3, "completion_tokens": absurd}) is NO_USAGE
        assert read_usage({"prompt_tokens": absurd, "completion_tokens": 3}) is NO_USAGE

    def test_strange_details_are_passed_over(self):
        assert read_usage({"prompt_tokens": 3, "prompt_tokens_details": [], "completion_tokens_details": "x"}) == Usage(
            3
        )

    def test_parts_are_never_more_than_their_total(self):
        told = {
            "prompt_tokens": 10, "completion_tokens": 1, "cache_creation_input_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 99}, "completion_tokens_details": {"reasoning_tokens": 99},
        }  # fmt: skip
        assert read_usage(told) == Usage(10, 1, cache_read=10, cache_write=0, reasoning=1)


class TestFault:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"error": {"message": "a"}}, "a"),
            ({"error": "b"}, "b"),
            ({"message": "c"}, "c"),
            ({"detail": "d"}, "d"),
            ({"detail": [{"loc": ["x"], "msg": "e"}, {"msg": "f"}]}, "e; f"),
            ({"message": {"detail": 1}}, '{"detail":1}'),
            ({"error": {"message": None, "detail": "g"}}, "g"),
            ({"error": ["h"]}, "h"),
            ({"error": {}}, "status 418, without an explanation"),
            ({}, "status 418, without an explanation"),
            (None, "status 418, without an explanation"),
        ],
    )
    def test_the_sentence_is_found_in_every_known_shape(self, body, message):
        assert read_fault(418, body).message == message

    def test_type_param_and_code_are_kept(self):
        fault = read_fault(400, {"error": {"message": "m", "type": "t", "param": "p", "code": 7}})
        assert (fault.type, fault.param, fault.code) == ("t", "p", 7)

    def test_strange_types_are_left_out(self):
        fault = read_fault(400, {"error": {"message": "m", "type": 1, "param": [], "code": True}})
        assert (fault.type, fault.param, fault.code) == (None, None, None)


class TestDecoder:
    def test_an_ordinary_chunk_passes_byte_for_byte(self, facts):
        raw = b'{ "id":"c1",  "choices":[{"delta":{"content":"\\u00e9 \\"usage\\":null"},"finish_reason":null}],"z":1 }'
        assert CHAT.decoder(facts(stream=True)).feed("", raw) == [raw]

    def test_model_and_tokens_are_noted(self, facts, drain):
        decoder = CHAT.decoder(facts(stream=True))
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        drain(decoder, [chunk("a"), chunk(finish="stop"), {**HEAD, "choices": [], "usage": usage}, b"[DONE]"])
        assert (decoder.model, decoder.usage, decoder.finished) == ("m-served", Usage(5, 2), True)

    def test_the_tokens_that_the_caller_did_not_ask_for_are_taken_out(self, facts, drain):
        decoder = CHAT.decoder(facts(stream=True))
        events = [chunk("a", usage=None), chunk(finish="stop", usage=None), {**HEAD, "choices": [], "usage": {}}]
        assert drain(decoder, events) == [chunk("a"), chunk(finish="stop")]

    def test_taking_out_leaves_the_rest_of_the_bytes(self, facts):
        decoder = CHAT.decoder(facts(stream=True))
        assert decoder.feed("", b'{"a" : 1,"choices":[],"usage":null, "z":2}') == [b'{"a" : 1,"choices":[], "z":2}']

    def test_a_usage_of_something_else_stays(self, facts, drain):
        events = [{**chunk("a"), "usage": None, "x": {"usage": None, "y": 1}}]
        assert drain(CHAT.decoder(facts(stream=True)), events) == [{**chunk("a"), "x": {"usage": None, "y": 1}}]

    def test_a_word_usage_in_the_text_stays(self, facts, drain):
        text = 'say "usage":null, or ,"usage":null'
        decoder = CHAT.decoder(facts(stream=True))
        assert drain(decoder, [chunk(text, usage=None), chunk("usage", usage=None)]) == [chunk(text), chunk("usage")]

    def test_tokens_on_a_chunk_with_choices_are_noted_and_stay(self, facts, drain):
        event = chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
        decoder = CHAT.decoder(facts(stream=True))
        assert drain(decoder, [event]) == [event]
        assert decoder.usage == Usage(1, 1)

    def test_the_tokens_that_the_caller_asked_for_pass_untouched(self, facts):
        decoder = CHAT.decoder(facts(stream=True, include_usage=True))
        raws = [
            compact(chunk("a", usage=None)),
            compact({**HEAD, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        ]
        assert [out for raw in raws for out in decoder.feed("", raw)] == raws
        assert decoder.usage == Usage(1, 1)

    def test_a_host_that_was_not_asked_for_tokens_is_relayed_as_it_is(self, facts):
        raw = compact({**HEAD, "choices": [], "usage": None})
        assert chat("old", asks_usage=False).decoder(facts(stream=True)).feed("", raw) == [raw]

    def test_a_stream_is_not_finished_before_its_reason(self, facts, drain):
        decoder = CHAT.decoder(facts(stream=True))
        drain(decoder, [chunk("a")])
        assert not decoder.finished
        drain(decoder, [chunk(finish="stop")])
        assert decoder.finished

    def test_two_choices_are_finished_when_both_are(self, facts, drain):
        decoder = CHAT.decoder(facts(stream=True))
        drain(decoder, [chunk("a"), chunk("b", index=1), chunk(finish="stop")])
        assert not decoder.finished
        drain(decoder, [chunk(finish="length", index=1)])
        assert decoder.finished

    def test_a_chunk_behind_the_end_of_its_choice_does_not_open_it_again(self, facts, drain):
        decoder = CHAT.decoder(facts(stream=True))
        drain(decoder, [chunk(finish="stop"), chunk("")])
        assert decoder.finished

    def test_the_end_marker_alone_is_an_end_and_is_not_returned(self, facts):
        decoder = CHAT.decoder(facts(stream=True))
        assert decoder.feed("", b"[DONE]") == []
        assert decoder.finished

    def test_an_empty_event_is_nothing(self, facts):
        decoder = CHAT.decoder(facts(stream=True))
        assert decoder.feed("", b"") == []
        assert not decoder.finished

    @pytest.mark.parametrize(
        "event",
        [
            {"error": {"message": "overloaded", "code": 529}},
            {"error": "overloaded"},
            ("error", {"message": "overloaded"}),
            {**HEAD, "choices": [{"index": "?"}], "error": {"message": "overloaded"}},
        ],
    )
    def test_an_error_in_the_stream_breaks_it_with_the_providers_sentence(self, facts, drain, event):
        with pytest.raises(UpstreamBroken, match=r"^acme error: overloaded$"):
            drain(CHAT.decoder(facts(stream=True)), [event])

    def test_an_error_that_is_null_is_none(self, facts, drain):
        assert len(drain(CHAT.decoder(facts(stream=True)), [chunk("a", error=None)])) == 1

    def test_an_error_shows_no_key_and_no_novel(self, facts):
        told = compact({"error": {"message": "key sk-abcdefghijklmnop is bad " + "x" * 9999}})
        with pytest.raises(UpstreamBroken) as caught:
            CHAT.decoder(facts(stream=True)).feed("", told)
        assert "sk-abcdefghijklmnop" not in caught.value.message
        assert len(caught.value.message) <= MAX_SENTENCE_CHARS + 20

    @pytest.mark.parametrize("raw", [b"{", b"nonsense", b"[1]", b'"text"', b"\xff\xfe", b"[" * 5000])
    def test_what_is_no_chunk_breaks_the_stream(self, facts, raw):
        with pytest.raises(UpstreamBroken, match="cannot be understood"):
            CHAT.decoder(facts(stream=True)).feed("", raw)

    def test_a_chunk_of_odd_types_passes_and_is_still_read(self, facts):
        decoder = CHAT.decoder(facts(stream=True))
        odd = {"choices": [{"index": "0", "finish_reason": "stop"}], "usage": {"prompt_tokens": 4}}
        assert decoder.feed("", compact(odd)) == [compact(odd)]
        assert (decoder.finished, decoder.usage) == (True, Usage(4))


def test_an_error_that_json_cannot_write_again_is_told_all_the_same():
    fault = read_fault(400, {"detail": {"limit": 10**30}})
    assert str(10**30) in fault.message
