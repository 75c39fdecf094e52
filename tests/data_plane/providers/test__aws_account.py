import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import AwsKey
from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._aws_account import (
    AWS_FIELDS,
    BOUND,
    access_key,
    aws_identity,
    granted_key,
    service_hosts,
    sign_as_account,
)
from shared.errors import BadRequest, GatewayError, Unsupported
from shared.redact import Secret
from shared.schema.target_settings import TARGET_SETTINGS

ROLE = "arn:aws:iam::123456789012:role/a/b"
KEY = {"aws_access_key_id": "AKID", "aws_secret_access_key": Secret("s3cret")}
ASSUMED = {"aws_auth_type": "assumedRole", "aws_role_arn": ROLE, "aws_external_id": "x-1", "aws_region": "eu-west-1"}


def identity(**settings):
    return aws_identity(settings, provider="p", service="some-service")


def sign(settings, upload=None):
    request = UpstreamRequest("https://h.example/", {}, b"", stream=False, timeout_ms=None, upload=upload)
    facts = CallFacts("m", stream=False, strict=True, headers={}, settings=settings)
    return sign_as_account(request, facts, provider="p", service="some-service"), request.headers


def test_every_field_of_the_form_is_a_setting_that_targets_have():
    assert {field.name for field in AWS_FIELDS} <= set(TARGET_SETTINGS)
    assert set(BOUND) <= {field.name for field in AWS_FIELDS}


@pytest.mark.parametrize("way", [None, "", "accessKey", "apiKey", "other", 7, ["assumedRole"]])
def test_an_account_that_has_what_it_needs_asks_for_nothing(way):
    assert identity(aws_auth_type=way, aws_region="eu-west-1") is None


def test_a_role_is_taken_on_with_the_accounts_key_or_else_the_gateways_own():
    with_key, without = identity(**ASSUMED, **KEY), identity(**ASSUMED)
    assert (with_key.is_own, without.is_own) == (False, True)
    assert (with_key.wanted.base.key_id, without.wanted.base) == ("AKID", None)
    assert (without.wanted.role, without.wanted.external_id, without.wanted.region) == (ROLE, "x-1", "eu-west-1")
    assert identity(**{**ASSUMED, "aws_external_id": ""}).wanted.external_id == ""
    assert identity(**{**ASSUMED, "aws_role_arn": f" {ROLE}\n"}).wanted.role == ROLE


def test_half_a_key_is_none_so_the_operator_is_asked():
    assert identity(**ASSUMED, aws_access_key_id="AKID").is_own


def test_a_service_role_is_the_gateways_own_whatever_key_there_is():
    ask = identity(aws_auth_type="serviceRole", aws_region="eu-west-1", **KEY)
    assert (ask.is_own, ask.wanted.base, ask.wanted.role) == (True, None, "")


@pytest.mark.parametrize(("change", "path"), [
    ({"aws_role_arn": ""}, "aws_role_arn"), ({"aws_role_arn": "arn:aws:iam::1:role/x"}, "aws_role_arn"), ({"aws_role_arn": "arn:aws:iam::123456789012:user/x"}, "aws_role_arn"),
    ({"aws_role_arn": ROLE + " x"}, "aws_role_arn"), ({"aws_external_id": "a"}, "aws_external_id"), ({"aws_external_id": "a b"}, "aws_external_id"),
    ({"aws_region": ""}, "aws_region"), ({"aws_region": "evil.example/"}, "aws_region"), ({"aws_region": "eu-west-1.evil"}, "aws_region"),
    ({"aws_region": "eu"}, "aws_region"),
])  # fmt: skip
def test_what_is_no_role_external_id_or_region_is_named(change, path):
    with pytest.raises(BadRequest) as raised:
        identity(**{**ASSUMED, **change})
    assert raised.value.path == path


def test_what_is_granted_signs_and_is_no_identity_any_more():
    settings = {
        **ASSUMED,
        **KEY,
        "aws_session_token": Secret("old"),
        **granted_key(AwsKey("ASIA", Secret("new"))).settings,
    }
    assert identity(**settings) is None
    signed, headers = sign(settings)
    assert signed
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=ASIA/")
    assert "x-amz-security-token" not in headers
    assert access_key(settings).secret.reveal() == "new"


def test_an_identity_that_was_not_changed_for_a_key_signs_nothing():
    with pytest.raises(Unsupported) as raised:
        sign({**ASSUMED, **KEY})
    assert raised.value.path == "aws_auth_type"


def test_an_account_without_a_key_is_not_signed():
    assert sign({"aws_region": "eu-west-1"}) == (False, {})


def test_a_signature_needs_a_region_and_a_whole_body():
    with pytest.raises(BadRequest, match="aws_region is required for the provider p"):
        sign(KEY)
    with pytest.raises(Unsupported, match="while it arrives"):
        sign({**KEY, "aws_region": "eu-west-1"}, upload=object())


@pytest.mark.parametrize(("host", "is_one"), [
    ("some-service.eu-west-1.amazonaws.com", True), ("some-service-fips.eu-west-1.amazonaws.com", True), ("some-service.cn-north-1.amazonaws.com.cn", True),
    ("vpce-1-2.some-service.eu-west-1.vpce.amazonaws.com", True), ("some-service.eu-west-1.api.aws", True),
    ("someXservice.eu-west-1.amazonaws.com", False), ("x-some-service.eu-west-1.amazonaws.com", False), ("some-service.eu-west-1.amazonaws.com.evil", False),
    ("some-service.a.b.amazonaws.com", False), ("some-service.eu-west-1.amazonaws.org", False), ("vpce-1.vpce-svc-2.eu-west-1.vpce.amazonaws.com", False),
])  # fmt: skip
def test_a_service_has_its_own_hosts(host, is_one):
    assert bool(service_hosts("some-service").fullmatch(host)) is is_one


@given(st.dictionaries(
    st.sampled_from(["aws_auth_type", "aws_role_arn", "aws_external_id", "aws_region", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"]),
    st.one_of(st.text(), st.none(), st.integers(), st.builds(Secret, st.text()), st.sampled_from(["assumedRole", "serviceRole", "eu-west-1", ROLE])),
))  # fmt: skip
def test_whatever_an_account_says_is_asked_or_refused(settings):
    try:
        ask = identity(**settings)
    except GatewayError:
        return
    assert ask is None or ask.key
