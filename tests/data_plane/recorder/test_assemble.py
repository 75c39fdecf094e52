import orjson
from hypothesis import given
from hypothesis import strategies as st

from data_plane.recorder.assemble import (
    assemble_chat,
    assemble_message,
    assemble_response,
    first_answer_text,
    last_message_text,
    text_of,
)


def chunk(delta, finish=None, index=0, **rest):
    return orjson.dumps(
        {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **rest}
    )


def test_text_tool_calls_and_usage_are_put_together():
    made = assemble_chat([
        chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}),
        chunk({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": '{"a"'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}), chunk({}, "tool_calls"),
        orjson.dumps({"choices": [], "usage": {"total_tokens": 3}}),
    ])  # fmt: skip
    message = made["choices"][0]["message"]
    assert message["content"] == "Hello"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert (made["choices"][0]["finish_reason"], made["usage"], made["id"]) == ("tool_calls", {"total_tokens": 3}, "c")


def test_choices_are_kept_apart():
    made = assemble_chat([chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({"content": "a"})])
    assert [choice["message"]["content"] for choice in made["choices"]] == ["aa", "b"]


@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from([b"[]", b"{}", b'{"choices":7}', b'{"choices":[7]}', b'{"choices":[{"delta":7}]}'])
    )
)
def test_no_chunk_can_break_it(chunks):
    assert assemble_chat(chunks)["object"] == "chat.completion"


def test_text_is_found_in_strings_and_parts():
    assert text_of([{"type": "text", "text": "a"}, {"type": "image_url"}, "x", {"text": "b"}]) == "a\nb"
    assert last_message_text({"messages": [{"content": "a"}, {"content": "b"}]}) == "b"
    assert last_message_text({"messages": "x"}) == ""
    assert first_answer_text({"choices": [{"message": {"content": "hi"}}]}) == "hi"
    assert first_answer_text({"choices": [7]}) == ""


def test_the_events_of_a_message_add_up_to_it():
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo"}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"x"'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ":1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    ]
    message = assemble_message(
        [orjson.dumps(event) for event in events] + [b"{", b"[]", b'{"type":"content_block_delta"}']
    )
    assert message["content"] == [
        {"type": "text", "text": "hello"}, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
    ]  # fmt: skip
    assert (message["stop_reason"], message["usage"]) == ("tool_use", {"input_tokens": 3, "output_tokens": 2})
    assert first_answer_text(message) == "hello"


def test_arguments_that_broke_off_are_kept_as_they_came():
    events = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"x"'}},
    ]
    assert assemble_message([orjson.dumps(event) for event in events])["content"][0]["input"] == '{"x"'


def test_a_stream_of_responses_ends_with_the_whole():
    whole = {
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
            {"type": "function_call"},
        ]
    }
    events = [{"type": "response.created", "response": {"id": "r"}}, {"type": "response.completed", "response": whole}]
    assert assemble_response([orjson.dumps(event) for event in events]) == whole
    assert assemble_response([orjson.dumps(events[0]), b"{", b"[]"]) is None
    assert first_answer_text(whole) == "hello"


def test_the_last_words_of_a_request_are_found_under_any_of_their_names():
    assert last_message_text({"input": "hi"}) == last_message_text({"prompt": "hi"}) == "hi"
    assert last_message_text({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}) == "hi"
    assert last_message_text({"input": [1, 2]}) == ""
