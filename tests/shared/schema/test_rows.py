import msgspec
import pytest

from shared.schema import rows

KINDS = [
    rows.OrgRow("o", "Demo"), rows.WorkspaceRow("w", "o", "ws-1", "Team"), rows.ApiKeyRow("k", "o", "w", ("h",)),
    rows.VirtualKeyRow("w/s", "o", "w", "s", "openai", "i"), rows.SecretRow("s", "o", 1, "kid", "AAAA"),
    rows.VirtualKeyRow(
        "w/s", "o", "w", "s", "azure-openai", "i", denied_models=frozenset({"m"}),
        model_settings={"m": rows.ModelSettingsRow("https://a.example", {"x-a": "b"})},
        deployments=(rows.DeploymentRow("d", "v", ("m",), is_default=True),),
        secret_mappings=(rows.SecretMappingRow("key", "r", "k", is_json=True),),
    ),
    rows.CustomProviderRow(
        "o/acme", "o", "acme", "https://a.example", auth=None, headers={"x-a": "b"}, price_source="openai", streams_usage=False,
        endpoints={"chat": rows.EndpointRow("/chat", rows.ParameterMap(drop=("user",)))},
        parameters=rows.ParameterMap({"a": "b"}, ("c",), {"d": [1, {"e": None}]}, ("f",)),
    ),
    rows.CustomProviderRow("o/acme", "o", "acme", "https://a.example", auth=rows.AuthRow("x-key", "")),
    rows.ConfigRow("w/c", "o", "w", "c", "v", {"provider": "openai"}), rows.GatewayPolicyRow("policy"),
    rows.ProviderPricesRow("openai", "list", (rows.ModelPriceRow("m", ["equals", "m"], input=(rows.Rate(0, 1),)),)),
]  # fmt: skip


@pytest.mark.parametrize("row", KINDS, ids=lambda row: type(row).__name__)
def test_a_row_survives_the_wire_and_fields_that_a_newer_publisher_adds(row):
    sent = msgspec.json.decode(msgspec.json.encode(row))
    newer = (
        msgspec.json.encode({**sent, "added_later": {"x": 1}}) if isinstance(sent, dict) else msgspec.json.encode(sent)
    )
    assert msgspec.json.decode(newer, type=type(row)) == row


def test_a_row_with_a_wrong_type_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"id":"k","org":"o","ws":"w","hashes":"not-a-list"}', type=rows.ApiKeyRow)


def test_every_section_is_named_once():
    assert len(set(rows.SECTIONS)) == len(rows.SECTIONS)


@pytest.mark.parametrize(("fields", "limits"), [
    ({}, False), ({"models": frozenset()}, True), ({"models": frozenset({"a"})}, True), ({"denied_models": frozenset({"a"})}, True),
])  # fmt: skip
def test_a_virtual_key_says_whether_there_are_models_that_it_does_not_allow(fields, limits):
    row = rows.VirtualKeyRow(id="i", org="o", ws="w", slug="s", provider="openai", integration="n", **fields)
    assert row.limits_models is limits
