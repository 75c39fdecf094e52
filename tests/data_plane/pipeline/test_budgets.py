import asyncio
from collections import Counter

import msgspec
import pytest

from data_plane.core.job import Choice, Job, Principal, Raw
from data_plane.core.types import CallFacts, Usage
from data_plane.limits.budgets import Budgets
from data_plane.limits.slices import Granted, Refused
from data_plane.pipeline import settle as settling
from data_plane.pipeline.answer import answer
from data_plane.pipeline.budgets import ASSUMED_AUDIO_MS, charge, most_usage, set_aside, top_up
from data_plane.pipeline.plans import DEFAULT_PLAN
from data_plane.pipeline.settle import settle
from data_plane.pipeline.target import NO_CREDENTIAL, Destination
from data_plane.providers.registry import load_providers
from data_plane.sync.snapshot import Holder
from shared.errors import BudgetExceeded, BudgetUnavailable, UnpricedRefused
from shared.schema.limits import BudgetRow, ConditionRow, RateRow, UnpricedRule, UsagePolicyRow
from shared.schema.log_record import Charged
from shared.schema.rows import ModelPriceRow, OrgRow, ProviderPricesRow, Rate, WorkspaceRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import FakeProvider, Reply

USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
#: What the usual prices make of it.
COST = 10 * 2000 + 3 * 8000
CAPPED = {"model": "@main/gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o"}
EVENTS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"content": "hey"}, "finish_reason": "stop"}]},
    {**CHUNK, "choices": [], "usage": USAGE},
]


def reply(usage=USAGE, model="gpt-4o", status=200):
    if status != 200:
        return Reply(status=status, json={"error": {"message": "no"}})
    choices = [{"index": 0, "message": {"role": "assistant", "content": "hey"}, "finish_reason": "stop"}]
    return Reply(json={"id": "c", "object": "chat.completion", "model": model, "choices": choices, "usage": usage})


class Agent:
    """Grants what is needed and no more, of every budget or of all but those that are `short`."""

    def __init__(self, short=(), why="short"):
        self.drawn, self.short, self.why, self.window = {}, short, why, 3
        self.budgets = Budgets(self._asked)

    def _asked(self, draws):
        replies = []
        for draw in draws:
            self.drawn[draw.key] = draw.need
            if draw.key in self.short:
                replies.append(Refused(draw.key, self.why, draw.call, 100, 5))
            else:
                replies.append(Granted(draw.key, f"id-{draw.key}", self.window, draw.need, draw.call))
        asyncio.get_running_loop().call_soon(self.budgets.absorb, replies)

    @property
    def left(self):
        return {key: each.left for key, each in self.budgets._slices.items()}


def org(*budgets, **fields):
    return [OrgRow(kit.ORG, "Demo", block_inline=False, budgets=budgets, **fields)]


KEY_BUDGET = BudgetRow("b-key", "api_key", "cost")


async def asked(*replies, agent, body=None, headers=None, cache_status="DISABLED", **sections):
    """Make one call under the budgets of `sections` and settle it; return (its record, the agent)."""
    async with FakeProvider(list(replies)) as fake:
        snapshot = kit.snapshot(**{**at(fake), **sections})
        async with deps_of(snapshot, budgets=agent.budgets, boot="boot-1") as deps:
            made = kit.exchange(kit.call(headers, body or CAPPED))
            result = await answer(made, deps)
            made.status = result.status
            if result.frames:
                async for _ in result.frames:
                    pass
                result.on_close()
            made.cache_status = cache_status
            settle(made, snapshot, deps)
            return deps.recorder.items[-1][0], agent


def one_key(*budgets, **fields):
    return {"api_keys": [kit.api_key(budgets=budgets or (KEY_BUDGET,), **fields)]}


# what pays


async def test_all_levels_pay_for_a_call_each_by_what_it_counts():
    agent = Agent()
    record, _ = await asked(
        reply(), agent=agent,
        orgs=org(BudgetRow("b-org", "organisation", "tokens")),
        workspaces=[WorkspaceRow(kit.WS, kit.ORG, "ws", "W", budgets=(BudgetRow("b-ws", "workspace", "requests"),))],
        api_keys=[kit.api_key(budgets=(KEY_BUDGET, BudgetRow("b-user", "user", "cost")))],
    )  # fmt: skip
    assert record.charges == (
        Charged("id-b-key", 3, COST), Charged("id-b-user", 3, COST), Charged("id-b-ws", 3, 1),
        Charged("id-b-org", 3, 13),
    )  # fmt: skip
    assert (record.boot, record.cost_nano) == ("boot-1", COST)


async def test_what_was_set_aside_and_not_taken_is_put_back():
    agent = Agent()
    await asked(reply(), agent=agent, **one_key())
    assert agent.drawn["b-key"] >= COST
    assert agent.left["b-key"] == agent.drawn["b-key"] - COST


async def test_a_call_with_a_cap_never_costs_more_than_was_set_aside():
    for text in ("hi", "schöne Grüße " * 40, "今日は" * 50, "{}[]()" * 200):
        agent = Agent()
        body = {**CAPPED, "messages": [{"role": "user", "content": text}]}
        most = {"prompt_tokens": len(text.encode()) + 4, "completion_tokens": 50, "total_tokens": 0}
        record, _ = await asked(reply(most), agent=agent, body=body, **one_key())
        assert record.cost_nano <= agent.drawn["b-key"]
        assert agent.budgets.overshoot == {}


async def test_a_call_without_a_cap_has_what_the_organisation_says_set_aside():
    drawn = []
    for assumed in (100, 10_000):
        agent = Agent()
        body = {name: value for name, value in CAPPED.items() if name != "max_tokens"}
        await asked(reply(), agent=agent, body=body, orgs=org(assumed_output=assumed), **one_key())
        drawn.append(agent.drawn["b-key"])
    assert drawn[1] - drawn[0] == 9_900 * 8000


async def test_a_budget_of_the_caller_ends_the_request_and_one_of_an_account_lets_others_answer():
    agent = Agent(short=("b-key",))
    record, _ = await asked(agent=agent, **one_key())
    assert (record.status, record.error_type, record.charges, record.boot) == (412, BudgetExceeded.code, (), "")

    agent = Agent(short=("b-vk",))
    async with FakeProvider([reply()]) as fake:
        usual = at(fake)["virtual_keys"][0]
        rows = [
            msgspec.structs.replace(usual, budgets=(BudgetRow("b-vk", "virtual_key", "cost"),)),
            msgspec.structs.replace(usual, id=f"{kit.WS}/other", slug="other", uid="uid-other"),
        ]
        config = kit.config("both", {
            "strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "other"}],
        })  # fmt: skip
        sections = {**at(fake), "virtual_keys": rows, "configs": [config]}
        snapshot = kit.snapshot(**sections)
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            body = {**CAPPED, "model": "gpt-4o"}
            made = kit.exchange(kit.call({"x-portkey-config": "both"}, body))
            result = await answer(made, deps)
            assert (result.status, made.virtual_key) == (200, "other")
            assert [attempt.status for attempt in made.attempts] == [412, 200]


async def test_a_call_that_failed_takes_nothing():
    agent = Agent()
    record, _ = await asked(reply(status=500), agent=agent, **one_key())
    assert (record.status, record.charges) == (500, ())
    assert agent.left["b-key"] == agent.drawn["b-key"]


async def test_only_one_attempt_at_a_time_holds_what_it_may_take():
    agent = Agent()
    headers = {"x-portkey-retry-count": "2"}
    record, _ = await asked(reply(status=503), reply(status=503), reply(), agent=agent, headers=headers, **one_key())
    assert (record.status, len(record.attempts)) == (200, 3)
    assert agent.left["b-key"] == agent.drawn["b-key"] - COST
    assert record.charges == (Charged("id-b-key", 3, COST),)


async def test_a_stream_takes_what_a_whole_answer_takes():
    agent = Agent()
    record, _ = await asked(Reply(sse=EVENTS), agent=agent, body={**CAPPED, "stream": True}, **one_key())
    assert record.charges == (Charged("id-b-key", 3, COST),)


async def test_a_limit_of_rate_that_is_full_gives_back_what_was_set_aside():
    agent, rows = Agent(), one_key(KEY_BUDGET, rates=(RateRow("tokens", "rpd", 10),))
    async with FakeProvider([reply(), reply()]) as fake:
        snapshot = kit.snapshot(**{**at(fake), **rows})
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            for _ in range(2):
                made = kit.exchange(kit.call(None, CAPPED))
                made.status = (await answer(made, deps)).status
                settle(made, snapshot, deps)
            assert (made.status, made.held) == (429, ())
    # Drawn was for both of them; the first took something.
    assert agent.left["b-key"] == 2 * agent.drawn["b-key"] - COST


async def test_what_cannot_be_confirmed_is_refused():
    record, _ = await asked(agent=Agent(short=("b-key",), why="unreachable"), **one_key())
    assert (record.status, record.error_type) == (503, BudgetUnavailable.code)


async def test_without_budgets_nobody_is_asked():
    agent = Agent()
    record, _ = await asked(reply(), agent=agent)
    assert (agent.drawn, record.charges) == ({}, ())


# policies


def usage_policy(conditions=(), group_by=("metadata._user",), unit="cost"):
    rows = tuple(ConditionRow(key, values) for key, values in conditions)
    return UsagePolicyRow("pol-1", kit.ORG, None, "Search", rows, group_by, unit)


@pytest.mark.parametrize(("metadata", "key"), [
    ('{"team": "search", "_user": "ada"}', "p:pol-1/metadata._user:ada"), ('{"team": "chat", "_user": "ada"}', None),
])  # fmt: skip
async def test_a_policy_pays_for_those_that_match_by_their_group(metadata, key):
    agent = Agent()
    policies = [usage_policy([("metadata.team", ("search",))])]
    record, _ = await asked(reply(), agent=agent, headers={"x-portkey-metadata": metadata}, usage_policies=policies)
    assert list(agent.drawn) == ([key] if key else [])
    assert record.charges == ((Charged(f"id-{key}", 3, COST),) if key else ())


@pytest.mark.parametrize(("conditions", "statuses"), [
    ([("metadata.team", ("a",))], [412]), ([("model", ("@main/*",))], [412, 200]),
])  # fmt: skip
async def test_a_policy_about_the_route_lets_other_targets_answer(conditions, statuses):
    agent = Agent(short=("p:pol-1/",))
    async with FakeProvider([reply()]) as fake:
        usual = at(fake)["virtual_keys"][0]
        other = msgspec.structs.replace(usual, id=f"{kit.WS}/other", slug="other", uid="uid-other")
        targets = [{"virtual_key": "main"}, {"virtual_key": "other"}]
        config = kit.config("both", {"strategy": {"mode": "fallback"}, "targets": targets})
        sections = {**at(fake), "virtual_keys": [usual, other], "configs": [config]}
        snapshot = kit.snapshot(**sections, usage_policies=[usage_policy(conditions, group_by=())])
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            headers = {"x-portkey-config": "both", "x-portkey-metadata": '{"team": "a"}'}
            made = kit.exchange(kit.call(headers, {**CAPPED, "model": "gpt-4o"}))
            await answer(made, deps)
            assert [attempt.status for attempt in made.attempts] == statuses


async def test_a_very_long_value_has_a_counter_all_the_same():
    agent = Agent()
    for name in ("a" * 120, "a" * 119 + "b"):
        groups = tuple(f"metadata.{each}" for each in ("one", "two", "three", "four", "five"))
        told = {each.removeprefix("metadata."): name for each in groups}
        headers = {"x-portkey-metadata": msgspec.json.encode(told).decode()}
        await asked(reply(), agent=agent, headers=headers, usage_policies=[usage_policy([], groups)])
    assert len(agent.drawn) == 2
    assert all(len(key) <= len("p:pol-1/") + 512 for key in agent.drawn)


async def test_an_answer_from_the_cache_takes_a_request_and_neither_money_nor_tokens():
    agent = Agent()
    budgets = [BudgetRow(f"b-{unit}", "api_key", unit) for unit in ("cost", "tokens", "requests")]
    rates = (RateRow("tokens", "rpm", 1000),)
    record, _ = await asked(reply(), agent=agent, cache_status="HIT", **one_key(*budgets, rates=rates))
    assert [(each.budget, each.amount) for each in record.charges] == [("id-b-requests", 1)]
    assert {each.key: each.total for each in agent.budgets.take_spent()} == {"b-requests": 1}
    assert agent.budgets.unpriced == 0


# what nobody knows the price of

NOWHERE = [ProviderPricesRow("other", "list", (ModelPriceRow("x", ["equals", "x"]),))]
LISTED = [
    ProviderPricesRow("openai", "list-1", (
        ModelPriceRow("cheap", ["equals", "cheap"], input=(Rate(0, 10**9),), output=(Rate(0, 2 * 10**9),)),
        ModelPriceRow("dear", ["equals", "dear"], input=(Rate(0, 30 * 10**9),), output=(Rate(0, 60 * 10**9),)),
    ))
]  # fmt: skip
MANY = {"prompt_tokens": 1000, "completion_tokens": 40, "total_tokens": 1040}


@pytest.mark.parametrize(("prices", "rule", "charged"), [
    (LISTED, UnpricedRule(), 1000 * 30_000 + 40 * 60_000),
    (NOWHERE, UnpricedRule(), 1000 * 15_000 + 40 * 75_000),
    (LISTED, UnpricedRule("fixed", 20 * 10**9, 10**9), 1000 * 20_000 + 40 * 1000),
    (LISTED, UnpricedRule("fixed", 0, 0), 10_000_000),
])  # fmt: skip
async def test_an_unknown_price_takes_what_the_rule_says_and_never_nothing(prices, rule, charged):
    agent = Agent()
    record, _ = await asked(reply(MANY), agent=agent, prices=prices, orgs=org(unpriced=rule), **one_key())
    assert (record.cost_nano, record.price_status) == (None, "unpriced")
    assert record.charges == (Charged("id-b-key", 3, charged),)
    assert agent.budgets.unpriced == 1


async def test_an_organisation_may_refuse_calls_of_unknown_prices_under_a_budget():
    rule = org(unpriced=UnpricedRule("refuse"))
    record, _ = await asked(agent=Agent(), prices=LISTED, orgs=rule, **one_key())
    assert (record.status, record.error_type) == (412, UnpricedRefused.code)
    record, _ = await asked(reply(), agent=Agent(), prices=LISTED, orgs=rule)
    assert record.status == 200


@pytest.mark.parametrize("absurd", [
    {"prompt_tokens": -5, "completion_tokens": -3}, {"prompt_tokens": 10**15, "completion_tokens": 1},
    {"prompt_tokens": "many", "completion_tokens": None}, None,
])  # fmt: skip
async def test_a_use_that_no_call_can_have_is_estimated_and_charged(absurd):
    agent = Agent()
    record, _ = await asked(reply(absurd), agent=agent, **one_key())
    assert record.usage_source == "estimated"
    ((_, _, amount),) = [(each.budget, each.window, each.amount) for each in record.charges]
    assert 0 < amount == record.cost_nano <= agent.drawn["b-key"]


# how much at most


@pytest.mark.parametrize(("operation", "body", "most"), [
    ("chat", {"messages": [], "max_tokens": 7, "n": 3}, {"output": 21}),
    ("chat", {"messages": [], "max_completion_tokens": 9}, {"output": 9}),
    ("responses", {"input": "", "max_output_tokens": 11}, {"output": 11}),
    ("chat", {"messages": []}, {"output": 500}),
    ("chat", {"messages": [], "max_tokens": -4, "n": 10**9}, {"output": 500 * 128}),
    ("embed", {"input": "abc"}, {"input": 3, "output": 0}),
    ("image", {"prompt": "cat", "n": 4}, {"images": 4}),
    ("image", {"prompt": "cat", "n": "many"}, {"images": 1}),
    ("speech", {"input": "Hello"}, {"characters": 5}),
    ("rerank", {"query": "q", "documents": ["a"] * 250}, {"searches": 3}),
    ("transcribe", {}, {"audio_ms": ASSUMED_AUDIO_MS}),
])  # fmt: skip
def test_the_most_that_a_call_may_use_is_told_by_its_body(operation, body, most):
    told = most_usage(Job(operation, DEFAULT_PLAN, body, "m", False, Choice()), body, 500)
    assert {name: getattr(told, name) for name in most} == most


async def test_lists_and_counts_cost_nothing_and_ask_nobody():
    agent = Agent()
    async with FakeProvider([]) as fake:
        snapshot = kit.snapshot(**{**at(fake), **one_key()})
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            made = kit.exchange()
            made.principal = Principal(
                kit.api_key(budgets=(KEY_BUDGET,)), org()[0], WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
            )
            place = Destination(
                deps.providers["openai"], None, NO_CREDENTIAL, "https://x", {}, CallFacts("", False, True, {}, {}), None
            )
            job = Job("proxy", DEFAULT_PLAN, {}, "", False, Choice(), raw=Raw("GET", "/v1/files"))
            await set_aside(made, place, job, snapshot, deps.budgets, in_bulk=False)
            assert (made.held, agent.drawn) == ((), {})
            # Of a job whose cost nobody knows only that something is left is asked.
            posted = Job("proxy", DEFAULT_PLAN, {}, "", False, Choice(), raw=Raw("POST", "/v1/batches"))
            await set_aside(made, place, posted, snapshot, deps.budgets, in_bulk=True)
            assert agent.drawn == {"b-key": 1}


# tokens in the place of keys


async def test_a_token_pays_from_the_budget_that_it_brings_along():
    claimed = BudgetRow("t:org/ws/ada/tokens/100/never", "token", "tokens")
    record, _ = await asked(reply(), agent=Agent(), **one_key(claimed))
    assert record.charges == (Charged(f"id-{claimed.id}", 3, 13),)
    agent = Agent(short=(claimed.id,))
    async with FakeProvider([]) as fake:
        snapshot = kit.snapshot(**{**at(fake), **one_key(claimed)})
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            result = await answer(kit.exchange(kit.call(None, CAPPED)), deps)
    told = msgspec.json.decode(result.body)
    assert (result.status, told["error"]["type"]) == (412, "token_exhaust_error")
    assert "this token allows 100 tokens" in told["message"]


# sessions


class Talk:
    """A realtime session under budgets, whose provider tells what it used."""

    def __init__(self, *budgets, agent=None, usage_policies=(), assumed=100, **org_fields):
        self.agent = agent or Agent()
        self.row = kit.virtual_key()
        self.holder = Holder()
        self.holder.swap(kit.snapshot(usage_policies=list(usage_policies)))
        provider = load_providers()["openai"]
        self.place = Destination(
            provider, provider.operations["realtime"], NO_CREDENTIAL, provider.base_url, {},
            CallFacts("gpt-4o", False, True, {}, {}), self.row,
        )  # fmt: skip
        self.made = kit.exchange()
        organisation = OrgRow(kit.ORG, "Demo", assumed_output=assumed, **org_fields)
        self.made.principal = Principal(
            kit.api_key(budgets=budgets), organisation, WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
        )
        self.made.price_source = "openai"
        self.made.model_sent = self.made.model_served = "gpt-4o"

    async def begin(self):
        job = Job("realtime", DEFAULT_PLAN, {}, "gpt-4o", True, Choice())
        snapshot = self.holder.current
        await set_aside(self.made, self.place, job, snapshot, self.agent.budgets, in_bulk=False)
        return self

    async def use(self, tokens):
        """Let the provider tell what the session used so far."""
        self.made.usage = Usage(output=tokens, source="provider")
        await top_up(self.made, self.place, self.holder, self.agent.budgets)

    def end(self, cost=None):
        snapshot = self.holder.current
        return charge(self.made, snapshot, self.agent.budgets, cost, answered=True)

    @property
    def covered(self):
        return sum(each.want.need for each in self.made.held)


TOKENS = BudgetRow("b-tokens", "api_key", "tokens")


async def test_a_session_sets_as_much_aside_again_once_it_has_used_more_than_was_set_aside():
    talk = await Talk(TOKENS).begin()
    for used, covered in ((60, 100), (100, 100), (101, 200), (199, 200), (350, 400), (350, 400)):
        await talk.use(used)
        assert talk.covered == covered
    # The agent grants what is needed and no more: all of it is set aside, and what was not used is put back.
    assert talk.agent.left == {"b-tokens": 0}
    assert talk.end() == (Charged("id-b-tokens", 3, 350),)
    assert talk.agent.left == {"b-tokens": 50}
    assert ([each.total for each in talk.agent.budgets.take_spent()], talk.agent.budgets.overshoot) == ([350], {})


async def test_each_budget_of_a_session_is_covered_by_what_it_counts():
    rows = (KEY_BUDGET, TOKENS, BudgetRow("b-calls", "organisation", "requests"))
    talk = await Talk(*rows).begin()
    await talk.use(250)
    needs = Counter()
    for each in talk.made.held:
        needs[each.want.key] += each.want.need
    assert needs == {"b-key": 300 * 8000, "b-tokens": 300, "b-calls": 1}
    assert talk.end(250 * 8000) == (
        Charged("id-b-key", 3, 250 * 8000), Charged("id-b-tokens", 3, 250), Charged("id-b-calls", 3, 1),
    )  # fmt: skip


async def test_a_session_of_an_unknown_price_is_covered_by_what_the_rule_says():
    talk = Talk(KEY_BUDGET, unpriced=UnpricedRule("fixed", 10**12, 10**12))
    talk.made.price_source = "nowhere"
    await talk.begin()
    await talk.use(150)
    assert talk.covered == 2 * 100 * 10**6
    assert talk.end() == (Charged("id-b-key", 3, 150 * 10**6),)


@pytest.mark.parametrize(("why", "error"), [("short", BudgetExceeded), ("unreachable", BudgetUnavailable)])
async def test_a_session_whose_budget_has_not_enough_left_is_refused_more_and_charged_what_it_used(why, error):
    agent = Agent()
    talk = await Talk(TOKENS, agent=agent).begin()
    agent.short, agent.why = ("b-tokens",), why
    with pytest.raises(error, match="this API key"):
        await talk.use(130)
    assert talk.end() == (Charged("id-b-tokens", 3, 130),)
    # What it took beyond what was set aside is owed, and the next call pays for it.
    assert agent.left == {"b-tokens": -30}
    assert agent.budgets.overshoot == {"tokens": 30}


async def test_a_session_of_a_policy_is_refused_more_by_the_policys_name():
    agent = Agent()
    talk = await Talk(agent=agent, usage_policies=[usage_policy((), group_by=(), unit="tokens")]).begin()
    agent.short = ("p:pol-1/",)
    with pytest.raises(BudgetExceeded, match="the policy Search"):
        await talk.use(130)


async def test_what_a_session_uses_after_a_reset_is_charged_to_the_new_window():
    agent = Agent()
    talk = await Talk(TOKENS, agent=agent).begin()
    agent.window = 4
    await talk.use(130)
    await talk.use(260)
    assert talk.end() == (Charged("id-b-tokens", 3, 100), Charged("id-b-tokens", 4, 160))


async def test_a_session_without_budgets_asks_nobody():
    talk = await Talk().begin()
    await talk.use(10**9)
    assert (talk.agent.drawn, talk.end()) == ({}, ())


# what callers may try


@pytest.mark.parametrize(("operation", "body", "most"), [
    # A host reads the one that it knows, whichever that is.
    ("chat", {"messages": [], "max_completion_tokens": 9, "max_tokens": 30}, 30),
    # What an endpoint does not know caps nothing.
    ("chat", {"messages": [], "max_output_tokens": 1, "max_tokens_to_sample": 1}, 500),
    ("messages", {"messages": [], "max_completion_tokens": 1, "max_tokens": 8}, 8),
    ("responses", {"input": "", "max_tokens": 1}, 500),
    ("complete", {"prompt": "a", "max_tokens": 8}, 8),
    # Each prompt has an answer of its own.
    ("complete", {"prompt": ["a", "b", "c"], "max_tokens": 8, "n": 2}, 48),
    ("complete", {"prompt": [[1, 2], [3]], "max_tokens": 8}, 16),
    ("complete", {"prompt": [1, 2, 3], "max_tokens": 8}, 8),
    # Numbers as lenient hosts read them.
    ("chat", {"messages": [], "max_tokens": 900.0, "n": 3.0}, 2700),
    ("chat", {"messages": [], "max_tokens": "900", "n": "3"}, 2700),
    ("chat", {"messages": [], "max_tokens": 1e400, "n": True}, 500),
    ("chat", {"messages": [], "max_tokens": "9" * 5000}, 500),
])  # fmt: skip
def test_no_cap_is_believed_that_a_host_may_not_keep_to(operation, body, most):
    assert most_usage(Job(operation, DEFAULT_PLAN, body, "m", False, Choice()), body, 500).output == most


def test_what_is_forwarded_unread_is_capped_by_the_largest_cap_of_any_endpoint():
    body = {"max_tokens": 700, "max_output_tokens": 1, "prompt": ["a", "b"]}
    job = Job("proxy", DEFAULT_PLAN, body, "m", False, Choice(), raw=Raw("POST", "/v1/completions"))
    assert most_usage(job, body, 500).output == 1400


@pytest.mark.parametrize("count", ["4", 4.0])
def test_pictures_are_counted_as_lenient_hosts_count_them(count):
    body = {"prompt": "cat", "n": count}
    assert most_usage(Job("image", DEFAULT_PLAN, body, "m", False, Choice()), body, 500).images == 4


async def test_spoken_answers_are_set_aside_at_the_price_of_speech():
    spoken = {**USAGE, "completion_tokens": 50, "completion_tokens_details": {"audio_tokens": 50}}
    row = ModelPriceRow(
        "gpt-4o", ["equals", "gpt-4o"], input=(Rate(0, 10**9),), output=(Rate(0, 10**9),), audio_output=(Rate(0, 80 * 10**9),)
    )  # fmt: skip
    agent = Agent()
    record, _ = await asked(
        reply(spoken), agent=agent, body={**CAPPED, "modalities": ["text", "audio"]},
        prices=[ProviderPricesRow("openai", "list-1", (row,))], **one_key(),
    )  # fmt: skip
    assert record.cost_nano >= 50 * 80_000
    assert agent.budgets.overshoot == {}


@pytest.mark.parametrize("model", ["gpt\x00-4o", "gpt-4o"])
async def test_a_model_of_any_name_has_a_counter_that_can_be_stored(model):
    agent = Agent()
    await asked(
        reply(), agent=agent, body={**CAPPED, "model": f"@main/{model}"}, usage_policies=[usage_policy([], ("model",))]
    )
    (key,) = agent.drawn
    assert key.isprintable()


async def test_a_call_that_was_answered_and_cannot_be_written_down_takes_what_was_set_aside(monkeypatch):
    def broken(*_args):
        raise RuntimeError("no")

    monkeypatch.setattr(settling, "counted", broken)
    monkeypatch.setattr(settling, "price", broken)
    agent = Agent()
    async with FakeProvider([reply(), reply(status=500)]) as fake:
        snapshot = kit.snapshot(**{**at(fake), **one_key()})
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            for _ in range(2):
                made = kit.exchange(kit.call(None, CAPPED))
                made.status = (await answer(made, deps)).status
                settle(made, snapshot, deps)
                assert made.held == ()
    # Once what was set aside, and nothing for the call that failed.
    assert [each.total for each in agent.budgets.take_spent()] == [agent.drawn["b-key"]]


@pytest.mark.parametrize(("last", "took"), [(reply(status=500), 0), (reply(), COST)])
async def test_an_answer_that_a_config_throws_away_is_paid_all_the_same(last, took):
    agent = Agent()
    strategy = {"mode": "fallback", "on_status_codes": [200]}
    config = kit.config("both", {"strategy": strategy, "targets": [{"virtual_key": "main"}, {"virtual_key": "other"}]})
    async with FakeProvider([reply(), last]) as fake:
        usual = at(fake)["virtual_keys"][0]
        rows = [usual, msgspec.structs.replace(usual, id=f"{kit.WS}/other", slug="other", uid="uid-other")]
        snapshot = kit.snapshot(**{**at(fake), **one_key(), "virtual_keys": rows, "configs": [config]})
        async with deps_of(snapshot, budgets=agent.budgets) as deps:
            made = kit.exchange(kit.call({"x-portkey-config": "both"}, {**CAPPED, "model": "gpt-4o"}))
            made.status = (await answer(made, deps)).status
            settle(made, snapshot, deps)
            assert len(made.attempts) == 2
            ((charged,), held) = deps.recorder.items[-1][0].charges, made.held
    assert (charged.amount, held) == (agent.drawn["b-key"] + took, ())
    assert [each.total for each in agent.budgets.take_spent()] == [charged.amount]
