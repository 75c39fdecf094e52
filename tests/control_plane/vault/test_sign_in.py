"""How one signs in to secret managers."""

import pytest

from control_plane.core.errors import Invalid
from control_plane.vault.sign_in import KINDS, MASK, WAYS, checked_config, hosts_of, merged_config, shown_config

ACCESS_KEY = {
    "aws_auth_type": "accessKey", "aws_access_key_id": "AKIA", "aws_secret_access_key": "s", "aws_region": "eu-west-1",
}  # fmt: skip
ROLE = {"aws_auth_type": "assumedRole", "aws_role_arn": "arn:x", "aws_region": "eu-west-1"}
ENTRA = {
    "azure_auth_mode": "entra", "azure_entra_tenant_id": "t", "azure_entra_client_id": "c",
    "azure_entra_client_secret": "s", "azure_vault_url": "https://acme.vault.azure.net",
}  # fmt: skip
TOKEN = {"vault_auth_type": "token", "vault_addr": "https://vault.example.com:8200", "vault_token": "s"}
EVERY = [(kind, name) for kind in KINDS for name in WAYS[kind][1]]


def whole(kind, name):
    """A sign-in with every field that a way needs."""
    field, ways = WAYS[kind]
    address = {"azure_vault_url": "https://acme.vault.azure.net", "vault_addr": "https://vault.example.com"}
    return {field: name, **{each: address.get(each, "eu-west-1") for each in ways[name].needed}}


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_whole_sign_in_is_kept_as_it_was_meant(kind, name):
    assert checked_config(kind, whole(kind, name)) == whole(kind, name)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_sign_in_without_a_field_that_it_needs_is_refused(kind, name):
    for field in WAYS[kind][1][name].needed:
        config = {each: value for each, value in whole(kind, name).items() if each != field}
        for lacking in (config, {**config, field: None}, {**config, field: ""}):
            with pytest.raises(Invalid, match=rf"auth_config\.{field}: is required"):
                checked_config(kind, lacking)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_field_of_another_way_is_refused(kind, name):
    with pytest.raises(Invalid, match=r"auth_config\.stray: is no field"):
        checked_config(kind, {**whole(kind, name), "stray": "x"})


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("aws_sm", {}), ("aws_sm", {"aws_auth_type": "root"}), ("aws_sm", TOKEN), ("azure_kv", ACCESS_KEY),
        ("aws_sm", {**ACCESS_KEY, "aws_region": "eu/../x"}), ("aws_sm", {**ACCESS_KEY, "aws_secret_access_key": 7}),
        ("aws_sm", {**ACCESS_KEY, "aws_secret_access_key": "a\nb"}),
        ("hashicorp_vault", {**TOKEN, "vault_addr": "http://169.254.169.254"}),
        ("hashicorp_vault", {**TOKEN, "vault_addr": "https://10.0.0.1"}),
        ("azure_kv", {**ENTRA, "azure_vault_url": "ftp://acme.vault.azure.net"}),
    ],
)  # fmt: skip
def test_a_sign_in_that_cannot_be_used_is_refused(kind, config):
    with pytest.raises(Invalid):
        checked_config(kind, config)


def test_an_address_inside_is_accepted_when_the_operator_trusts_it(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"10.0.0.1"})
    assert checked_config("hashicorp_vault", {**TOKEN, "vault_addr": "https://10.0.0.1"})["vault_addr"]


def test_secrets_are_for_the_hosts_of_their_manager():
    assert hosts_of("aws_sm", ACCESS_KEY) == ("secretsmanager.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com")
    assert hosts_of("aws_sm", {"aws_auth_type": "serviceRole"}) == ()
    assert hosts_of("azure_kv", ENTRA) == ("acme.vault.azure.net", "login.microsoftonline.com")
    assert hosts_of("hashicorp_vault", TOKEN) == ("vault.example.com",)


def test_what_is_not_named_stays_as_long_as_the_way_knows_it():
    assert merged_config("aws_sm", ACCESS_KEY, {"aws_region": "us-east-1"}) == {**ACCESS_KEY, "aws_region": "us-east-1"}
    assert merged_config("aws_sm", ACCESS_KEY, {"aws_auth_type": "assumedRole", "aws_role_arn": "arn:x"}) == ROLE
    assert merged_config("aws_sm", ACCESS_KEY, {"aws_secret_access_key": MASK}) == ACCESS_KEY


def test_secrets_are_shown_masked():
    plain = {name: value for name, value in ACCESS_KEY.items() if name != "aws_secret_access_key"}
    assert shown_config("aws_sm", plain) == {**plain, "aws_secret_access_key": MASK}
    assert shown_config("aws_sm", ROLE) == ROLE
