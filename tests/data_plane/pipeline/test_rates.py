from dataclasses import replace

import pytest

from data_plane.core.job import Choice, Job, Principal
from data_plane.core.types import CallFacts
from data_plane.limits.admission import Admission
from data_plane.pipeline import rates
from data_plane.pipeline.plans import DEFAULT_PLAN
from data_plane.pipeline.target import NO_CREDENTIAL, Destination
from data_plane.providers.registry import load_providers
from shared.errors import ProviderRateLimited, RateLimited
from shared.schema.limits import ConditionRow, RatePolicyRow, RateRow
from shared.schema.log_record import AttemptRecord
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit

JOB = Job("chat", DEFAULT_PLAN, {}, "@main/gpt-4o", False, Choice(), {"_user": "alice", "team": "search"})
TWO, THREE = (RateRow("requests", "rpm", 2),), (RateRow("requests", "rpm", 3),)


async def admit(made, row, admission, policies=(), job=None, model="gpt-4o"):
    """Ask for an attempt at a saved provider."""
    facts = CallFacts(model, False, True, {}, {})
    provider = load_providers()["openai"]
    place = Destination(provider, None, NO_CREDENTIAL, "https://api.openai.com/v1", {}, facts, row)
    await rates.admit(made, place, job or JOB, policies, admission)


def exchange(*, key=(), workspace=(), organisation=(), workspace_id=kit.WS, organisation_id=kit.ORG):
    made = kit.exchange()
    row = WorkspaceRow(workspace_id, organisation_id, "ws", "Search", rates=workspace)
    made.principal = Principal(kit.api_key(rates=key), OrgRow(organisation_id, "Demo", rates=organisation), row)
    return made


async def test_limits_of_key_and_workspace_hold_whichever_provider_answers():
    admission = Admission(clock=lambda: 1e9)
    for row in (None, kit.virtual_key()):
        await admit(exchange(key=TWO), row, admission)
    with pytest.raises(RateLimited, match="this API key allows 2 requests per minute"):
        await admit(exchange(key=TWO), None, admission)
    for _ in range(3):
        await admit(exchange(workspace=THREE), None, admission)
    with pytest.raises(RateLimited, match="the workspace Search allows 3"):
        await admit(exchange(workspace=THREE), None, admission)


async def test_limits_of_the_caller_count_once_a_request_and_those_of_the_account_each_time():
    admission, made = Admission(clock=lambda: 1e9), exchange(key=TWO)
    row = kit.virtual_key(rates=THREE)
    for number in range(3):
        await admit(made, row, admission)
        made.attempts.append(AttemptRecord(number, "openai", "config", 500, 0, 0))
    assert [limit.scope for limit in made.limits] == [f"k:{kit.KEY_ID}", "vk:uid-main", "vk:uid-main", "vk:uid-main"]
    with pytest.raises(ProviderRateLimited, match="the provider @main allows 3"):
        await admit(made, row, admission)


async def test_a_request_whose_first_target_could_not_be_reached_counts_all_the_same():
    admission, made = Admission(clock=lambda: 1e9), exchange(key=TWO)
    made.attempts.append(AttemptRecord(0, "openai", "config.targets[0]", 503, 0, 0))
    await admit(made, None, admission)
    assert [limit.scope for limit in made.limits] == [f"k:{kit.KEY_ID}"]


async def test_tokens_of_one_person_share_a_limit_and_those_of_others_do_not():
    admission = Admission(clock=lambda: 1e9)

    def token_of(user):
        made = exchange()
        made.principal = replace(made.principal, key=kit.api_key(id="", user=user, rates=TWO), signed_by="k1")
        return made

    for _ in range(2):
        await admit(token_of("ada"), None, admission)
    with pytest.raises(RateLimited, match="this token allows 2"):
        await admit(token_of("ada"), None, admission)
    await admit(token_of("bob"), None, admission)


async def test_virtual_keys_of_one_account_share_its_limit_in_a_workspace():
    admission = Admission(clock=lambda: 1e9)
    for slug in ("main", "other"):
        await admit(exchange(), kit.virtual_key(slug, account_rates=TWO), admission)
    with pytest.raises(ProviderRateLimited, match="the account of @third"):
        await admit(exchange(), kit.virtual_key("third", account_rates=TWO), admission)
    await admit(exchange(), kit.virtual_key("third", integration="int-2", account_rates=TWO), admission)


async def test_a_limit_of_the_organisation_holds_for_all_its_workspaces_together_and_for_no_other_organisation():
    admission = Admission(clock=lambda: 1e9)
    for workspace in ("ws-1", "ws-2", "ws-3"):
        await admit(exchange(organisation=THREE, workspace_id=workspace), None, admission)
    with pytest.raises(RateLimited, match="the organisation Demo allows 3 requests per minute") as refused:
        await admit(exchange(organisation=THREE, workspace_id="ws-4"), None, admission)
    assert (refused.value.final, refused.value.path) == (True, f"org:{kit.ORG}")
    await admit(exchange(organisation=THREE, organisation_id="org-2"), None, admission)


async def test_a_limit_of_the_organisation_counts_once_a_request_beside_those_of_workspace_and_key():
    admission, made = Admission(clock=lambda: 1e9), exchange(key=TWO, workspace=TWO, organisation=TWO)
    for number in range(3):
        await admit(made, None, admission)
        made.attempts.append(AttemptRecord(number, "openai", "config", 500, 0, 0))
    assert [limit.scope for limit in made.limits] == [f"k:{kit.KEY_ID}", f"ws:{kit.WS}", f"org:{kit.ORG}"]
    await admit(exchange(organisation=TWO), None, admission)
    with pytest.raises(RateLimited, match="the organisation"):
        await admit(exchange(organisation=TWO), None, admission)


async def test_a_limit_of_an_integration_as_a_whole_holds_across_workspaces_and_leaves_other_accounts_to_answer():
    admission = Admission(clock=lambda: 1e9)
    for number in (1, 2):
        row = kit.virtual_key(f"key-{number}", ws=f"ws-{number}", integration_rates=TWO)
        await admit(exchange(workspace_id=f"ws-{number}"), row, admission)
    with pytest.raises(ProviderRateLimited, match="the account of @key-3 allows 2 requests per minute") as refused:
        await admit(exchange(), kit.virtual_key("key-3", ws="ws-3", integration_rates=TWO), admission)
    assert refused.value.final is False
    await admit(exchange(), kit.virtual_key("other", integration="int-2", integration_rates=TWO), admission)


async def test_an_integration_s_limits_as_a_whole_and_in_a_workspace_are_counted_apart():
    admission = Admission(clock=lambda: 1e9)
    rates_of_both = {"account_rates": TWO, "integration_rates": THREE}
    made = exchange()
    await admit(made, kit.virtual_key("a", ws="ws-1", **rates_of_both), admission)
    assert [limit.scope.count(":") for limit in made.limits] == [2, 1]
    await admit(exchange(), kit.virtual_key("a", ws="ws-1", **rates_of_both), admission)
    with pytest.raises(ProviderRateLimited, match="the account of @a in this workspace allows 2"):
        await admit(exchange(), kit.virtual_key("a", ws="ws-1", **rates_of_both), admission)
    await admit(exchange(), kit.virtual_key("b", ws="ws-2", **rates_of_both), admission)
    with pytest.raises(ProviderRateLimited, match="the account of @b allows 3"):
        await admit(exchange(), kit.virtual_key("b", ws="ws-2", **rates_of_both), admission)


async def test_tokens_count_against_the_limits_of_organisation_and_integration():
    admission = Admission(clock=lambda: 1e9)
    tokens = (RateRow("tokens", "rpm", 100),)
    made = exchange(organisation=tokens)
    await admit(made, kit.virtual_key(integration_rates=tokens), admission)
    admission.spent(made.limits, 100)
    with pytest.raises(RateLimited, match="the organisation Demo allows 100 tokens per minute"):
        await admit(exchange(organisation=tokens), None, admission)
    with pytest.raises(ProviderRateLimited, match="the account of @main allows 100 tokens per minute"):
        await admit(exchange(), kit.virtual_key(integration_rates=tokens), admission)


async def test_a_refused_attempt_leaves_nothing_to_settle():
    admission, made = Admission(clock=lambda: 1e9), exchange(key=(RateRow("requests", "rpm", 1),))
    await admit(made, None, admission)
    again = exchange(key=(RateRow("requests", "rpm", 1),))
    with pytest.raises(RateLimited):
        await admit(again, None, admission)
    assert (len(made.limits), again.limits) == (1, ())


def policy(conditions, group_by=("metadata._user",), value=1, **given):
    rows = tuple(ConditionRow(key, values, *rest) for key, values, *rest in conditions)
    return RatePolicyRow("p1", kit.ORG, None, "Search", rows, group_by, "requests", "rpm", value, **given)


async def test_a_policy_counts_each_group_by_itself():
    admission, limits = Admission(clock=lambda: 1e9), (policy([("metadata.team", ("search",))]),)
    await admit(exchange(), None, admission, limits)
    with pytest.raises(RateLimited, match="the policy Search allows 1 requests per minute") as refused:
        await admit(exchange(), None, admission, limits)
    assert refused.value.final is True
    bob = replace(JOB, metadata={"_user": "bob", "team": "search"})
    await admit(exchange(), None, admission, limits, bob)
    other = replace(JOB, metadata={"_user": "alice", "team": "chat"})
    for _ in range(3):
        await admit(exchange(), None, admission, limits, other)


@pytest.mark.parametrize(("conditions", "meant"), [
    ([("api_key", (str(kit.KEY_ID),))], True), ([("api_key", ("other",))], False),
    ([("workspace_id", (kit.WS,))], True), ([("provider", ("openai",))], True), ([("provider", ("@main",))], True),
    ([("virtual_key", ("main",))], True), ([("virtual_key", ("other", "main"))], True), ([("virtual_key", ("other",))], False),
    ([("model", ("gpt-4o",))], True), ([("model", ("@main/gpt-4o",))], True), ([("model", ("@main/*",))], True),
    ([("model", ("@other/*",))], False), ([("model", ("*",), ("gpt-4o",))], False), ([("model", ("*",), ("o3",))], True),
    ([("endpoint_type", ("chatComplete",))], True), ([("endpoint_type", ("embed",))], False),
    ([("config", ("*",))], False), ([("metadata.none", ("*",))], False), ([("metadata.team", ("*",))], True),
    ([("model", ("*",)), ("metadata.team", ("chat",))], False),
])  # fmt: skip
async def test_a_policy_is_for_the_calls_that_match_all_its_conditions(conditions, meant):
    admission, made = Admission(clock=lambda: 1e9), exchange()
    await admit(made, kit.virtual_key(), admission, (policy(conditions),))
    assert bool(made.limits) is meant


async def test_a_policy_about_the_route_holds_for_each_attempt_and_leaves_others_to_try():
    admission, limits = Admission(clock=lambda: 1e9), (policy([("provider", ("openai",))], ("workspace_id",), 2),)
    made = exchange()
    for number in range(2):
        await admit(made, kit.virtual_key(), admission, limits)
        made.attempts.append(AttemptRecord(number, "openai", "config", 500, 0, 0))
    with pytest.raises(ProviderRateLimited):
        await admit(made, kit.virtual_key(), admission, limits)
    about_caller = (policy([("workspace_id", (kit.WS,))], ("workspace_id",), 2),)
    before = len(made.limits)
    await admit(made, kit.virtual_key(), admission, about_caller)
    assert len(made.limits) == before
