import time
import xml.sax.saxutils as sax

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import AwsKey
from data_plane.upstream.identity.aws_answers import MAX_DEPTH, read_code, read_machine, read_sts, read_xml
from tests.fakes.clouds import lent, machine_json, sts_error, sts_xml

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<R><Credentials><AccessKeyId>&b;</AccessKeyId></Credentials></R>"
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><R><Credentials><AccessKeyId>&a;</AccessKeyId></Credentials></R>'


def revealed(key):
    return key.key_id, key.secret.reveal(), key.token.reveal()


@pytest.mark.parametrize("action", ["AssumeRole", "AssumeRoleWithWebIdentity"])
def test_the_key_of_the_token_service_is_read_with_what_is_left_of_it(action):
    key, life_s = read_sts(sts_xml(action, lent("A"), 3600), time.time())
    assert revealed(key) == lent("A")
    assert 3595 < life_s < 3605


def test_the_key_of_a_machine_is_read_with_what_is_left_of_it():
    key, life_s = read_machine(orjson.dumps(machine_json(lent("A"), 900)), time.time())
    assert revealed(key) == lent("A")
    assert 895 < life_s < 905


@pytest.mark.parametrize("change", [
    {"Code": "AssumeRoleUnauthorizedAccess"}, {"AccessKeyId": ""}, {"AccessKeyId": 7}, {"SecretAccessKey": None}, {"Token": None},
    {"Expiration": None}, {"Expiration": "soon"}, {"Expiration": "2030-01-01T00:00:00"}, {"Expiration": 1_900_000_000},
    {"SecretAccessKey": "é"},
])  # fmt: skip
def test_what_is_no_whole_key_of_a_machine_is_refused(change):
    with pytest.raises(ValueError, match=r"."):
        read_machine(orjson.dumps({**machine_json(lent("A")), **change}), 0.0)


@pytest.mark.parametrize(("old", "new"), [
    (b"AccessKeyId", b"AccessKey"), (b"<SessionToken>", b"<SessionToken><x/>"), (b"Expiration>", b"Expires>"), (b"Credentials", b"Certificates"),
])  # fmt: skip
def test_what_is_no_whole_key_of_the_token_service_is_refused(old, new):
    content = sts_xml("AssumeRole", lent("A"))
    assert old in content
    changed = content.replace(old, new)
    if b"<x/>" in new:
        assert revealed(read_sts(changed, 0.0)[0]) == lent("A")
        return
    with pytest.raises(ValueError, match=r"."):
        read_sts(changed, 0.0)


@pytest.mark.parametrize(
    "content", [BOMB, OUTSIDE, b"<!DOCTYPE html><html></html>", b"", b"<a>", b"{}", b"\xff\xfe<", b"<a>&nbsp;</a>"]
)
def test_a_document_type_and_what_is_no_xml_are_refused(content):
    with pytest.raises(ValueError, match=r"."):
        read_xml(content)


def test_a_document_that_is_nested_without_end_is_refused():
    with pytest.raises(ValueError, match="deeply"):
        read_xml(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))


def test_the_code_of_an_error_is_read_and_nothing_else_of_it():
    assert read_code(sts_error("AccessDenied").body) == "AccessDenied"
    assert read_code(b"<ErrorResponse><Error><Code>a b\nc</Code></Error></ErrorResponse>") == ""
    assert read_code(b"nothing") == ""


NAMES = st.sampled_from(
    ["Credentials", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "Error", "Code"]
)
TREES = st.recursive(
    st.text(max_size=20).map(sax.escape),
    lambda inner: st.lists(st.tuples(NAMES, inner), max_size=6).map(
        lambda items: "".join(f"<{name}>{content}</{name}>" for name, content in items)
    ),
).map(lambda content: f"<R>{content}</R>".encode("utf-8", "replace"))


@given(st.binary(max_size=300) | TREES)
def test_whatever_the_token_service_answers_is_a_key_or_a_value_error(content):
    try:
        key, _ = read_sts(content, 0.0)
    except ValueError:
        return
    assert isinstance(key, AwsKey)


VALUES = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.text()
    | st.sampled_from(["2030-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
)
FIELDS = st.sampled_from(["Code", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"])


@given(st.binary(max_size=300) | st.dictionaries(FIELDS, VALUES).map(orjson.dumps))
def test_whatever_a_machine_answers_is_a_key_or_a_value_error(content):
    try:
        key, _ = read_machine(content, 0.0)
    except ValueError:
        return
    assert isinstance(key, AwsKey)
