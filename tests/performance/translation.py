"""`make bench`, second part: CPU of translating a 20 kB chat, and each piece of a stream, for every way of speaking.

Times are the least of several rounds: a noisy neighbour can only add to them.
"""

import sys
import time

import orjson

from data_plane.core.types import CallFacts
from shared.errors import Unsupported
from tests.contract.test_every_provider import ANSWERS, DISTINCT, STREAMS, shape

ROUNDS, TIMES = 9, 40
WHOLE_LIMIT_US, PIECE_LIMIT_US = 100, 15


def chat():
    """Return a chat of 20 kB: some thirty messages, with a call of a function now and then."""
    parameters = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    tool = {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": parameters}}
    messages = [{"role": "system", "content": "You are terse. " * 20}]
    for turn in range(5):
        function = {"name": "look_up", "arguments": '{"query": "x"}'}
        messages += [
            {"role": "user", "content": "word " * 220},
            {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{turn}", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": f"c{turn}", "content": "found " * 120},
            {"role": "assistant", "content": "answer " * 120},
            {"role": "user", "content": [{"type": "text", "text": "more " * 60}]},
            {"role": "assistant", "content": "again " * 120},
        ]  # fmt: skip
    return {"model": "m", "messages": messages, "tools": [tool], "temperature": 0.5, "max_tokens": 100}


def without_tools(body):
    """Return the chat as a provider without tools takes it, of the same size."""
    plain = [
        {
            "role": "assistant" if message["role"] == "tool" else message["role"],
            "content": message["content"] or "calls",
        }
        for message in body["messages"]
    ]
    return {**{name: value for name, value in body.items() if name != "tools"}, "messages": plain}


def least_us(work):
    """Return the microseconds of CPU that `work` takes at least."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TIMES):
            work()
        best = min(best, (time.process_time() - began) / TIMES * 1e6)
    return best


#: Models that are spoken to in another tongue than the provider's usual one.
OTHERS = {"vertex-ai": ("claude-sonnet-4-5@20250929", "anthropic")}


def contenders():
    """Yield (name, operation, model, whose words its answers are in)."""
    for provider in DISTINCT.values():
        yield provider.id, provider.operations["chat"], "m", shape(provider)
        if provider.id in OTHERS:
            model, words = OTHERS[provider.id]
            yield f"{provider.id} {model[:6]}", provider.operations["chat"], model, words


def pieces_of(words):
    return [event if isinstance(event, tuple) else ("", event) for event in STREAMS[words]]


def streaming(operation, facts, events):
    """Return what feeds one stream to a decoder; the piece with text comes often, as in use."""
    first, *rest = [(name, orjson.dumps(data)) for name, data in events]

    def stream():
        decoder = operation.decoder(facts)
        for name, data in (first, *[rest[0]] * 20, *rest[1:]):
            decoder.feed(name, data)

    return stream, len(rest) + 20


#: Settings without which an account of a provider cannot be called.
SETTINGS = {"oracle": {"oracle_compartment_id": "ocid1.compartment.oc1..example"}}


def measured(operation, model, words, body, settings):
    """Return (encode, decode, a piece) in microseconds; None for what no exchange is written down of."""
    facts = CallFacts(model, False, True, {}, settings)
    encode = least_us(lambda: operation.encode(body, facts))
    if words not in ANSWERS:
        return encode, None, None
    answer = orjson.dumps(ANSWERS[words])
    decode = least_us(lambda: operation.decode(orjson.loads(answer), facts))
    if len(STREAMS[words]) < 2:
        return encode, decode, None
    stream, pieces = streaming(operation, CallFacts(model, True, True, {}, settings), pieces_of(words))
    return encode, decode, least_us(stream) / pieces


def main():
    body = chat()
    print(f"\nTranslating a chat of {len(orjson.dumps(body)):,} bytes: us of CPU, least of {ROUNDS} rounds")
    written = orjson.dumps(body)
    print(f"(reading and writing it with orjson: {least_us(lambda: orjson.dumps(orjson.loads(written))):.0f} us)")
    print(f"{'':20}{'encode':>10}{'decode':>10}{'a piece':>10}")
    for name, operation, model, words in contenders():
        try:
            numbers = measured(operation, model, words, body, SETTINGS.get(name, {}))
        except Unsupported:
            # It knows no tools.
            numbers = measured(operation, model, words, without_tools(body), SETTINGS.get(name, {}))
        encode, decode, piece = (0 if number is None else number for number in numbers)
        mark = "" if encode + decode <= WHOLE_LIMIT_US and piece <= PIECE_LIMIT_US else "   over the limit"
        print(f"{name:20}" + "".join(f"{'-' if number is None else f'{number:.1f}':>10}" for number in numbers) + mark)
    return 0


if __name__ == "__main__":
    sys.exit(main())
