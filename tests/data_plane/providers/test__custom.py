from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.endpoint import ENDPOINTS
from data_plane.core.types import CallFacts, Usage
from data_plane.providers import _custom
from data_plane.providers._by_chat import BY_CHAT
from data_plane.providers._custom import OPERATIONS, USUAL, build_provider, renamed, usual_path
from data_plane.providers.registry import load_providers
from shared.errors import Unsupported
from shared.redact import Secret
from shared.schema.rows import AuthRow, CustomProviderRow, EndpointRow, ParameterMap

FACTS = CallFacts("m", False, True, {}, {})
STREAM = replace(FACTS, stream=True)
BODY = {"model": "@acme/m", "messages": [{"role": "user", "content": "hi"}]}


def row(**fields):
    usual = {"id": "o/acme", "org": "o", "slug": "acme", "base_url": "https://api.acme.example/v1"}
    return CustomProviderRow(**{**usual, **fields})


def encoded(body, facts=FACTS, operation="chat", **rules):
    made = build_provider(row(parameters=ParameterMap(**rules), endpoints={operation: EndpointRow()}))
    return made.operations[operation].encode(body, facts)


# what a provider is made of


def test_a_row_that_says_nothing_makes_what_most_hosts_are():
    provider = build_provider(row())
    assert (provider.id, provider.label, provider.base_url, provider.is_custom) == (
        "acme", "acme", "https://api.acme.example/v1", True,
    )  # fmt: skip
    assert {name: operation.path for name, operation in provider.operations.items()} == {
        "chat": "/chat/completions", "complete": "/completions", "embed": "/embeddings",
    }  # fmt: skip
    assert all(operation.passes_through for operation in provider.operations.values())
    headers = {}
    provider.authorise(Secret("k"), headers)
    assert headers == {"authorization": "Bearer k"}


def test_every_operation_can_be_had_or_is_made_of_a_chat():
    assert set(ENDPOINTS) - set(OPERATIONS) == (set(BY_CHAT) | {"models"}) - set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_what_a_provider_of_the_release_has_under_that_name(name):
    made = build_provider(row(endpoints={name: EndpointRow()})).operations[name]

    def shape(operation):
        parts = (operation.encode, operation.decode, operation.usage)
        names = [getattr(getattr(part, "func", part), "__qualname__", part) for part in parts]
        return (operation.path, operation.binary, operation.text_too, operation.passes_through, *names)

    owned = [provider.operations[name] for provider in load_providers().values() if name in provider.operations]
    assert shape(made) in [shape(operation) for operation in owned]
    assert made.path == usual_path(name)


def test_credential_headers_and_paths_are_those_of_the_row():
    provider = build_provider(
        row(
            name="Acme",
            auth=AuthRow("x-key", "Token "),
            headers={"x-region": "eu"},
            endpoints={"chat": EndpointRow("/talk")},
        )
    )
    headers = {}
    provider.authorise(Secret("k"), headers)
    assert (headers, provider.default_headers, provider.label) == ({"x-key": "Token k"}, {"x-region": "eu"}, "Acme")
    assert {name: operation.path for name, operation in provider.operations.items()} == {"chat": "/talk"}


def test_a_provider_without_credentials_is_sent_none():
    provider, headers = build_provider(row(auth=None)), {}
    provider.authorise(Secret("k"), headers)
    assert (headers, provider.credential) == ({}, ())


def test_an_operation_of_a_later_version_is_left_out():
    provider = build_provider(row(endpoints={"chat": EndpointRow(), "dream": EndpointRow("/dreams")}))
    assert set(provider.operations) == {"chat"}


def test_a_row_that_should_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"headers\.host"):
        build_provider(row(headers={"host": "elsewhere.example"}))


@pytest.mark.parametrize(("source", "found"), [("together", "together"), (None, "o/acme")])
def test_prices_are_those_that_the_row_names_and_never_those_of_a_namesake(source, found):
    assert build_provider(row(price_source=source)).price_source == found


@pytest.mark.parametrize("name", ["chat", "complete"])
@pytest.mark.parametrize("understands", [True, False])
def test_tokens_of_a_stream_are_asked_for_where_the_host_understands_it(name, understands):
    provider = build_provider(row(streams_usage=understands))
    sent = provider.operations[name].encode(BODY, STREAM)
    assert sent.get("stream_options") == ({"include_usage": True} if understands else None)
    assert provider.operations[name].path == usual_path(name)


def test_answers_are_read_as_openais_and_name_the_provider():
    chat = build_provider(row()).operations["chat"]
    answer = chat.decode({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, FACTS)
    assert (answer["provider"], chat.usage(answer)) == ("acme", Usage(3, 2))


# the parameter map


def test_parameters_are_renamed_dropped_filled_in_and_refused():
    rules = {
        "rename": {"max_tokens": "limit"},
        "drop": ("user",),
        "defaults": {"safe": True, "top_p": 1},
        "refuse": ("n",),
    }
    sent = encoded({**BODY, "max_tokens": 9, "user": "u", "top_p": 0.5}, **rules)
    assert sent == {"model": "m", "messages": BODY["messages"], "limit": 9, "safe": True, "top_p": 0.5}
    with pytest.raises(Unsupported, match="n is not supported by acme") as raised:
        encoded({**BODY, "n": 2}, **rules)
    assert (raised.value.path, raised.value.status) == ("n", 400)


@pytest.mark.parametrize("said", [{"n": None}, {"stream": False}, {"stream": None}])
def test_what_says_nothing_is_not_refused_and_not_sent(said):
    assert encoded({**BODY, **said}, refuse=("n", "stream")) == {"model": "m", "messages": BODY["messages"]}


def test_a_host_that_cannot_stream_says_so():
    with pytest.raises(Unsupported, match="stream is not supported by acme"):
        encoded({**BODY, "stream": True}, STREAM, refuse=("stream",))


def test_what_the_gateway_adds_itself_is_no_reason_to_refuse():
    assert "stream_options" not in encoded({**BODY, "stream": True}, STREAM, refuse=("stream_options",))


def test_two_parameters_may_change_places():
    assert encoded({**BODY, "a": 1, "b": 2}, rename={"a": "b", "b": "a"}) == {**BODY, "model": "m", "a": 2, "b": 1}


@pytest.mark.parametrize(("said", "found"), [
    ({"max_tokens": 5, "max_completion_tokens": 7, "limit": 9}, 7), ({"max_tokens": 5, "max_completion_tokens": None}, 5), ({"limit": 9}, 9),
    ({"max_tokens": 5, "limit": 9}, 5), ({"max_completion_tokens": 7}, 7),
])  # fmt: skip
def test_of_several_that_come_to_one_name_the_first_that_says_something_wins(said, found):
    rename = {"max_tokens": "limit", "max_completion_tokens": "limit"}
    assert renamed(said, rename) == {"limit": found}


def test_an_endpoint_may_have_a_map_of_its_own():
    provider = build_provider(
        row(
            endpoints={"chat": EndpointRow(), "embed": EndpointRow(parameters=ParameterMap(drop=("user",)))},
            parameters=ParameterMap(defaults={"safe": True}),
        )
    )
    assert provider.operations["embed"].encode({"input": "x", "user": "u"}, FACTS) == {"input": "x", "model": "m"}
    assert provider.operations["chat"].encode({"messages": []}, FACTS)["safe"] is True


def test_what_would_have_to_be_mapped_is_not_sent_on_unread():
    operations = build_provider(row(parameters=ParameterMap(drop=("user",)))).operations
    assert not any(operation.passes_through for operation in operations.values())


NAMES = st.sampled_from(["a", "b", "c", "d", "model", "messages"])
VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3)
BODIES = st.dictionaries(NAMES, VALUES)
MAPS = st.builds(
    ParameterMap,
    rename=st.dictionaries(NAMES, NAMES | st.just("z")),
    drop=st.lists(NAMES).map(tuple),
    defaults=st.dictionaries(st.sampled_from(["a", "b", "e"]), VALUES),
    refuse=st.lists(st.sampled_from(["c", "d"])).map(tuple),
)


@given(body=BODIES, rules=MAPS)
def test_a_map_sends_what_it_says_and_nothing_else(body, rules):
    body = {**body, "model": "m"}
    before = orjson.dumps(body)
    operation = replace(OPERATIONS["chat"]("acme"))
    refused = {name for name in rules.refuse if body.get(name) is not None}
    try:
        sent = _custom._mapped(body, FACTS, operation=operation, rules=rules, provider="acme")
    except Unsupported as refusal:
        assert refusal.path in refused
        return
    finally:
        assert orjson.dumps(body) == before
    assert not refused
    gone = {*rules.drop, *rules.refuse}
    meant = {**rules.defaults, **{name: value for name, value in body.items() if name not in gone}}
    assert set(sent) == {rules.rename.get(name, name) for name in meant}
    for name, value in sent.items():
        sources = [old for old in meant if rules.rename.get(old) == name] or [name]
        assert value in [meant[source] for source in sources]


@given(body=BODIES, swaps=st.permutations(["a", "b", "c", "d"]))
def test_names_that_change_places_lose_no_value_and_find_back(body, swaps):
    there = dict(zip(["a", "b", "c", "d"], swaps, strict=True))
    back = {new: old for old, new in there.items()}
    assert renamed(renamed(body, there), back) == body


@given(body=BODIES)
def test_a_map_that_says_nothing_changes_nothing(body):
    assert encoded(body) == {**body, "model": "m"}


def test_the_usual_operations_are_among_those_that_there_are():
    assert set(USUAL) <= set(OPERATIONS)
