import orjson

from shared.schema.rows import CustomProviderRow, ModelPriceRow, OrgRow, ProviderPricesRow
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
        assert ids(body) == ["@listed/a", "@listed/b", "@priced/gpt"]
        assert headers["x-portkey-trace-id"]
        told = orjson.loads(body)
        assert told["total"] == 3
        assert told["data"][0] == {
            "id": "@listed/a", "slug": "a", "canonical_slug": "a", "object": "model", "created": 0, "owned_by": "openai",
        }  # fmt: skip


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


async def test_every_provider_is_asked_when_the_request_wants_it(tmp_path):
    listed = Reply(json={"data": [{"id": "m1"}, {"id": "m2"}]})
    async with FakeProvider([listed]) as fake, gateway(tmp_path, **at(fake)) as gw:
        _, body, _ = await gw.get("/v1/models", {"x-portkey-fetch-integrated-models": "true"})
        assert ids(body) == ["@main/m1", "@main/m2"]


async def test_a_list_is_a_call_like_any_other(tmp_path):
    async with FakeProvider([Reply(json={"data": []})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.get("/v1/models", {"x-portkey-provider": "@main"})
        record = gw.recorded.last
        assert (record.endpoint, record.method, record.status, record.provider) == ("models", "GET", 200, "openai")
        assert (fake.seen[0].method, fake.seen[0].body, "content-type" in fake.seen[0].headers) == ("GET", b"", False)


async def test_a_providers_refusal_is_told_with_its_status(tmp_path):
    async with (
        FakeProvider([Reply(401, json={"error": {"message": "wrong key"}})]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        status, body, _ = await gw.get("/v1/models", {"x-portkey-provider": "@main"})
        assert (status, "wrong key" in orjson.loads(body)["error"]["message"]) == (401, True)


async def test_a_provider_without_a_list_is_known_by_its_prices(tmp_path):
    prices = [ProviderPricesRow("aws", "list", (ModelPriceRow("anthropic.claude-x", ["equals", "x"]),))]
    async with gateway(tmp_path, prices=prices, virtual_keys=[kit.virtual_key("cloud", provider="bedrock")]) as gw:
        status, body, _ = await gw.get("/v1/models", {"x-portkey-provider": "@cloud"})
        assert (status, ids(body), orjson.loads(body)["data"][0]["owned_by"]) == (
            200,
            ["anthropic.claude-x"],
            "bedrock",
        )


async def test_lists_are_sorted_by_what_is_asked_for(tmp_path):
    rows = [
        kit.virtual_key("b", models=frozenset("x"), provider="openai"),
        kit.virtual_key("a", models=frozenset("y"), provider="groq"),
    ]
    async with gateway(tmp_path, virtual_keys=rows) as gw:
        assert ids((await gw.get("/v1/models?sort=provider"))[1]) == ["@a/y", "@b/x"]
        assert ids((await gw.get("/v1/models?sort=ai_service&order=desc"))[1]) == ["@b/x", "@a/y"]
        assert (
            ids((await gw.get("/v1/models?ai_service=groq"))[1])
            == ids((await gw.get("/v1/models?provider=a"))[1])
            == ["@a/y"]
        )
        assert (await gw.get("/v1/models?sort=size"))[0] == 400


async def test_one_model_of_the_workspace_can_be_read(tmp_path):
    rows = [kit.virtual_key("v", models=frozenset({"org/model"}))]
    async with gateway(tmp_path, virtual_keys=rows) as gw:
        status, body, _ = await gw.get("/v1/models/@v/org/model")
        assert (status, orjson.loads(body)["id"]) == (200, "@v/org/model")
        assert (await gw.get("/v1/models/@v/none"))[0] == 404


async def test_a_providers_own_model_is_the_providers(tmp_path):
    async with FakeProvider([Reply(json={"id": "gpt-4o"})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        assert (await gw.get("/v1/models/gpt-4o", {"x-portkey-provider": "@main"}))[0] == 200
        assert fake.seen[0].path == "/v1/models/gpt-4o"


async def test_models_that_are_denied_are_not_listed(tmp_path):
    prices = ProviderPricesRow(
        "openai", "list-1", tuple(ModelPriceRow(name, ["equals", name]) for name in ("gpt-a", "gpt-b"))
    )
    rows = [kit.virtual_key("main", denied_models=frozenset({"gpt-b"}))]
    async with gateway(tmp_path, virtual_keys=rows, prices=[prices]) as gw:
        assert ids((await gw.get("/v1/models"))[1]) == ["@main/gpt-a"]
