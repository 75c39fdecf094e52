"""Which models of an integration may be used."""

import pytest

from control_plane.catalog.allowed_models import drop_models, models_for_gateways, models_json, set_models
from control_plane.catalog.custom_providers import create_custom_provider
from control_plane.catalog.models import Integration, IntegrationModel
from control_plane.catalog.services import create_integration, update_integration
from control_plane.core.errors import Invalid
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.vault.services import open_secret
from shared.redact import Secret
from shared.schema.rows import ModelSettingsRow
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db

KEY = Secret("sk-0123456789abcdef")
EU = "https://eu.example.com/v1"
PRICES = {"type": "static", "pay_as_you_go": {"request_token": {"price": 0.5}}}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def account(tenant):
    return create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai", "key": KEY})


def say(tenant, account, *models, **given):
    set_models(tenant.actor, account, {"models": list(models), **given})
    return Integration.objects.get(pk=account.pk)


def of(slug, *, enabled=True, **given):
    return {"slug": slug, "enabled": enabled, **given}


def shown(account):
    return {model["slug"]: model for model in models_json(account)["models"]}


def hosts(account):
    return open_secret(Integration.objects.get(pk=account.pk).secret).hosts


def test_models_of_the_price_list_are_known_and_all_of_them_allowed_at_first(account):
    told = models_json(account)
    assert (told["allow_all_models"], told["total"]) == (True, len(told["models"]))
    assert shown(account)["gpt-4o"]["enabled"] is True
    assert shown(account)["gpt-4o"]["is_custom"] is False


def test_what_is_said_of_a_model_stands_beside_what_is_known(tenant, account):
    account = say(
        tenant, account, of("gpt-4o", enabled=False), of("ft:mine", is_finetune=True, base_model_slug="gpt-4o"),
        of("gpt-4", pricing_config=PRICES),
    )  # fmt: skip
    found = shown(account)
    assert (found["gpt-4o"]["enabled"], found["gpt-4o"]["is_custom"]) == (False, False)
    assert (found["ft:mine"]["is_custom"], found["ft:mine"]["base_model_slug"]) == (True, "gpt-4o")
    assert found["gpt-4"]["pricing_config"] == PRICES
    account = say(tenant, account, of("gpt-4"))
    assert shown(account)["gpt-4"]["pricing_config"] == PRICES


def test_the_models_of_a_custom_provider_are_those_of_its_price_source(tenant):
    create_custom_provider(
        tenant.actor, {"name": "Acme", "slug": "acme", "base_url": "https://a.example", "price_source": "openai"}
    )
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "acme"})
    assert "gpt-4o" in shown(account)


def test_without_all_models_gateways_get_a_list_of_those_that_are_allowed(tenant, account):
    account = say(tenant, account, of("gpt-4o"), of("mine"), of("gpt-4", enabled=False), allow_all_models=False)
    assert models_for_gateways(account)["models"] == frozenset({"gpt-4o", "mine"})
    assert shown(account)["gpt-4-turbo"]["enabled"] is False
    none = say(tenant, account, of("gpt-4o", enabled=False), of("mine", enabled=False))
    assert models_for_gateways(none)["models"] == frozenset()


def test_with_all_models_gateways_get_those_that_are_not(tenant, account):
    assert models_for_gateways(account)["denied_models"] == frozenset()
    account = say(tenant, account, of("gpt-4o", enabled=False), of("gpt-4"))
    told = models_for_gateways(account)
    assert (told.get("models"), told["denied_models"]) == (None, frozenset({"gpt-4o"}))


def test_a_new_host_of_a_model_needs_the_key_again(tenant, account):
    large = of("large", configurations={"custom_host": EU})
    with pytest.raises(Invalid, match="give the integration's key again"):
        say(tenant, account, large)
    assert (IntegrationModel.objects.count(), hosts(account)) == (0, ("api.openai.com",))
    account = say(tenant, account, large, key=Secret("sk-new-0123456789"))
    assert hosts(account) == ("api.openai.com", "eu.example.com")
    assert open_secret(account.secret).key.reveal() == "sk-new-0123456789"
    assert models_for_gateways(account)["model_settings"] == {"large": ModelSettingsRow(EU)}


def test_a_host_that_the_key_is_bound_to_needs_nothing(tenant, account):
    account = say(tenant, account, of("large", configurations={"custom_host": "https://api.openai.com/v2"}))
    assert (hosts(account), account.secret.version) == (("api.openai.com",), 1)


def test_a_host_that_no_model_has_any_more_is_none_for_the_key(tenant, account):
    account = say(tenant, account, of("large", configurations={"custom_host": EU}), key=KEY)
    drop_models(tenant.actor, account, ["large"])
    assert hosts(account) == ("api.openai.com",)
    assert open_secret(Integration.objects.get().secret).key.reveal() == KEY.reveal()


def test_a_renewed_key_is_bound_to_the_hosts_of_models_too(tenant, account):
    account = say(tenant, account, of("large", configurations={"custom_host": EU}), key=KEY)
    update_integration(tenant.actor, account, {"key": Secret("sk-renewed-0123456789")})
    assert hosts(account) == ("api.openai.com", "eu.example.com")


def test_hosts_can_be_said_before_there_is_a_key(tenant):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai"})
    account = say(tenant, account, of("large", configurations={"custom_host": EU}))
    update_integration(tenant.actor, account, {"key": KEY})
    assert hosts(account) == ("api.openai.com", "eu.example.com")


def test_further_secrets_do_not_follow_to_the_host_of_a_model(tenant):
    settings = {"aws_secret_access_key": Secret("sentinel"), "aws_region": "eu-west-1"}
    given = {"name": "a", "ai_provider_id": "openai", "key": KEY, "configurations": settings}
    account = create_integration(tenant.actor, given)
    with pytest.raises(Invalid, match="one host for all"):
        say(tenant, account, of("large", configurations={"custom_host": EU}), key=KEY)


@pytest.mark.parametrize("host", ["http://169.254.169.254", "https://10.0.0.1", "ftp://eu.example.com"])
def test_a_host_that_may_not_be_used_is_refused(tenant, account, host):
    with pytest.raises(Invalid, match=r"models\.large\.configurations\.custom_host"):
        say(tenant, account, of("large", configurations={"custom_host": host}), key=KEY)


def test_what_was_said_of_models_is_forgotten(tenant, account):
    account = say(tenant, account, of("mine"), of("gpt-4o", enabled=False))
    with pytest.raises(Invalid, match="stray"):
        drop_models(tenant.actor, account, ["mine", "stray"])
    drop_models(tenant.actor, account, ["mine", "gpt-4o"])
    found = shown(Integration.objects.get(pk=account.pk))
    assert "mine" not in found
    assert found["gpt-4o"]["enabled"] is True


def test_a_change_of_models_reaches_gateways_and_the_trail(tenant, account):
    OutboxEvent.objects.all().delete()
    say(tenant, account, of("gpt-4o", enabled=False))
    assert [event.sections for event in OutboxEvent.objects.all()] == [["secrets", "virtual_keys"]]
    event = AuditEvent.objects.get(resource_type="integration", action="update")
    assert (event.before["models"], [model["slug"] for model in event.after["models"]]) == ([], ["gpt-4o"])
