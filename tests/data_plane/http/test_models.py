import orjson

from shared.schema.rows import CustomProviderRow, OrgRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway, pointed_at
from tests.fakes.provider import FakeProvider, Reply


def ids(body):
    return [entry["id"] for entry in orjson.loads(body)["data"]]


async def test_the_catalogue_lists_what_a_key_can_call(tmp_path):
    rows = [kit.virtual_key("priced"), kit.virtual_key("listed", models=frozenset({"b", "a"}))]
    async with gateway(tmp_path, virtual_keys=rows) as gw:
        status, body, headers = await gw.get("/v1/models")
        assert status == 200
        assert sorted(ids(body)) == ["@listed/a", "@listed/b", "@priced/gpt"]
        assert headers["x-portkey-trace-id"]
        assert {"id", "object", "created", "owned_by"} == set(orjson.loads(body)["data"][0])


async def test_a_custom_host_is_asked_for_its_models(tmp_path):
    async with FakeProvider([Reply(json={"data": [{"id": "llama"}]})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        assert ids((await gw.get("/v1/models"))[1]) == ["@main/llama"]
        assert fake.seen[0].headers["authorization"] == f"Bearer {fake.key}"


async def test_a_custom_host_that_fails_is_left_out(tmp_path):
    async with FakeProvider([Reply(500, json={})]) as fake:
        row, secret = pointed_at(fake)
        rows = [row, kit.virtual_key("listed", models=frozenset({"a"}), secret=secret.id)]
        async with gateway(tmp_path, virtual_keys=rows, secrets=[secret]) as gw:
            assert ids((await gw.get("/v1/models"))[1]) == ["@listed/a"]


async def test_a_named_provider_gives_its_own_list(tmp_path):
    async with (
        FakeProvider([Reply(json={"data": [{"id": "m1", "owned_by": "x"}]})]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        status, body, _ = await gw.get("/v1/models", {"x-portkey-provider": "@main"})
        assert (status, ids(body), orjson.loads(body)["provider"]) == (200, ["m1"], "main")


async def test_a_named_provider_that_answers_nonsense_is_502(tmp_path):
    async with FakeProvider([Reply(json={"data": 7})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        assert (await gw.get("/v1/models", {"x-portkey-provider": "@main"}))[0] == 502


async def test_lists_are_paged_and_filtered(tmp_path):
    rows = [kit.virtual_key("v", models=frozenset("abcd"))]
    async with gateway(tmp_path, virtual_keys=rows) as gw:
        assert ids((await gw.get("/v1/models?sort=name&order=desc&limit=2&offset=1"))[1]) == ["@v/c", "@v/b"]
        assert ids((await gw.get("/v1/models?provider=nobody"))[1]) == []
        assert (await gw.get("/v1/models?limit=x"))[0] == 400


async def test_models_of_another_workspace_are_not_listed(tmp_path):
    rows = [kit.virtual_key("other", id="ws-2/other", ws="ws-2", models=frozenset("a"))]
    async with gateway(tmp_path, virtual_keys=rows) as gw:
        assert ids((await gw.get("/v1/models"))[1]) == []


async def test_without_a_key_there_is_no_list(tmp_path):
    async with gateway(tmp_path) as gw:
        assert (await gw.get("/v1/models", key=None))[0] == 401


async def test_saved_only_mode_holds_for_the_list_of_models_too(tmp_path):
    orgs = [OrgRow(kit.ORG, "Demo", block_inline=True)]
    async with FakeProvider() as fake, gateway(tmp_path, orgs=orgs, **at(fake)) as gw:
        status, body, _ = await gw.get("/v1/models", {"x-portkey-provider": "openai"})
        assert (status, orjson.loads(body)["error"]["code"], fake.seen) == (400, "inline_provider_blocked", [])


async def test_a_custom_provider_is_asked_for_its_models_and_left_out_when_it_cannot_be_used(tmp_path):
    async with FakeProvider([Reply(json={"data": [{"id": "acme-large"}]})]) as fake:
        fields = {"org": kit.ORG, "base_url": fake.base_url}
        good = CustomProviderRow(id=f"{kit.ORG}/good", slug="good", headers={"x-region": "eu"}, **fields)
        bad = CustomProviderRow(id=f"{kit.ORG}/bad", slug="bad", headers={"host": "x"}, **fields)
        rows = [kit.virtual_key(f"my-{slug}", provider=slug, secret=None) for slug in ("good", "bad")]
        async with gateway(tmp_path, custom_providers=[good, bad], virtual_keys=rows) as gw:
            assert ids((await gw.get("/v1/models"))[1]) == ["@my-good/acme-large"]
        assert [seen.headers["x-region"] for seen in fake.seen] == ["eu"]
