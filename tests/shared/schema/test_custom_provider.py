import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schema.custom_provider import MAX_DEFAULTS_DEPTH, MAX_RULES, RESERVED_SLUGS, check_slug, faults_of
from shared.schema.rows import AuthRow, CustomProviderRow, EndpointRow, ParameterMap


def row(**fields):
    return CustomProviderRow(**{"id": "o/acme", "org": "o", "slug": "acme", "base_url": "https://a.example", **fields})


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("fields", [
    {}, {"auth": None, "headers": {"authorization-scheme": "x"}}, {"auth": AuthRow("x-key", "")}, {"slug": "0" * 80},
    {"headers": {"x-region": "eu west, 1", "user-agent": "acme/1"}}, {"endpoints": {"later": EndpointRow("/v2/chat:run")}},
    {"parameters": ParameterMap({"a": "b", "b": "a", "stream": "streaming"}, ("c",), {"d": nested(MAX_DEFAULTS_DEPTH - 2)}, ("n",))},
    {"parameters": ParameterMap(refuse=("stream",))},
])  # fmt: skip
def test_what_makes_sense_has_no_faults(fields):
    assert faults_of(row(**fields)) == []


@pytest.mark.parametrize(("fields", "where"), [
    ({"slug": "Acme"}, "slug: "), ({"slug": "-acme"}, "slug: "), ({"slug": "a" * 81}, "slug: "), ({"slug": "a/b"}, "slug: "),
    ({"headers": {"host": "x"}}, "headers.host: "), ({"headers": {"X-A": "x"}}, "headers.X-A: "), ({"headers": {"a b": "x"}}, "headers.a b: "),
    ({"headers": {"x-portkey-trace-id": "x"}}, "headers.x-portkey-trace-id: "), ({"headers": {"transfer-encoding": "x"}}, "headers.transfer-encoding: "),
    ({"headers": {"content-type": "x"}}, "headers.content-type: "), ({"headers": {"proxy-authorization": "x"}}, "headers.proxy-authorization: "),
    ({"headers": {"x-a": "a\r\nb: c"}}, "headers.x-a: "), ({"headers": {"x-a": ""}}, "headers.x-a: "), ({"headers": {"x-a": "ä"}}, "headers.x-a: "),
    ({"headers": {"authorization": "x"}}, "headers.authorization: "), ({"headers": {f"x-{n}": "x" for n in range(33)}}, "headers: "),
    ({"auth": AuthRow("x key")}, "auth.header: "), ({"auth": AuthRow("cookie")}, "auth.header: "), ({"auth": AuthRow("x-key", "a\n")}, "auth.prefix: "),
    ({"auth": AuthRow("x-key", " Bearer ")}, "auth.prefix: "),
    ({"endpoints": {"chat": EndpointRow("chat")}}, "endpoints.chat.path: "), ({"endpoints": {"chat": EndpointRow("/../chat")}}, "endpoints.chat.path: "),
    ({"endpoints": {"chat": EndpointRow("/chat?a=b")}}, "endpoints.chat.path: "), ({"endpoints": {"chat": EndpointRow("/chat#a")}}, "endpoints.chat.path: "),
    ({"endpoints": {"chat": EndpointRow("/ch\nat")}}, "endpoints.chat.path: "), ({"endpoints": {"chat": EndpointRow("/a@b")}}, "endpoints.chat.path: "),
    ({"endpoints": {"chat": EndpointRow(parameters=ParameterMap(drop=("",)))}}, "endpoints.chat.parameters.drop: "),
    ({"parameters": ParameterMap(rename={"a": "b c"})}, "parameters.rename: "), ({"parameters": ParameterMap(refuse=("a\n",))}, "parameters.refuse: "),
    ({"parameters": ParameterMap(drop=tuple(f"p{n}" for n in range(MAX_RULES + 1)))}, "parameters.drop: "),
    ({"parameters": ParameterMap(drop=("a",), rename={"a": "b"})}, "parameters: "), ({"parameters": ParameterMap(drop=("a",), refuse=("a",))}, "parameters: "),
    ({"parameters": ParameterMap(refuse=("a",), defaults={"a": 1})}, "parameters: "), ({"parameters": ParameterMap(drop=("stream",))}, "parameters: "),
    ({"parameters": ParameterMap(defaults={"stream": True})}, "parameters: "), ({"parameters": ParameterMap(defaults={"a": "x" * 20_000})}, "parameters.defaults: "),
    ({"parameters": ParameterMap(defaults={"a": 2**70})}, "parameters.defaults: "), ({"parameters": ParameterMap(defaults={"a": nested(400)})}, "parameters.defaults: "),
    ({"parameters": ParameterMap(defaults={"a": "\ud800"})}, "parameters.defaults: "),
])  # fmt: skip
def test_what_makes_no_sense_is_said_with_its_path(fields, where):
    faults = faults_of(row(**fields))
    assert faults
    assert all(fault.startswith(where) for fault in faults)


@pytest.mark.parametrize("slug", sorted(RESERVED_SLUGS))
def test_a_reserved_word_is_nobodys_id(slug):
    with pytest.raises(ValueError, match="reserved"):
        check_slug(slug)


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3),
    st.text(max_size=20),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_whatever_is_accepted_can_stand_in_a_request(headers, header, prefix, path):
    made = row(headers=headers, auth=AuthRow(header, prefix), endpoints={"chat": EndpointRow(path)})
    if faults_of(made):
        return
    for text in (*headers, *headers.values(), header, prefix, path):
        assert text.isascii()
        assert text.isprintable()
    assert path.startswith("/")
