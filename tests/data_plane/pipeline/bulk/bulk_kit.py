"""A gateway before a strict cloud: an account `@cloud` at the fake's address, and OpenAI's own client."""

import base64
from contextlib import asynccontextmanager

import msgspec
import openai
import orjson

from shared.crypto.sealing import SealedTo, seal
from shared.schema.rows import SealedPlaintext, SecretRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import gateway
from tests.fakes.aws_bulk import FakeAwsBulk, credentials
from tests.fakes.provider import FakeProvider

NOVA = "amazon.nova-pro-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batch"


def secret_of(settings, hosts=("127.0.0.1",), key=""):
    plain = msgspec.json.encode(SealedPlaintext(key, hosts, settings))
    sealed = base64.b64encode(seal(kit.PUBLIC, plain, SealedTo(kit.ORG, kit.GROUP, "secret-cloud", 1))).decode()
    return SecretRow("secret-cloud", kit.ORG, 1, kit.KID, sealed)


def ask(number, content="hé", model=None, **changes):
    """A line of a batch in OpenAI's words."""
    body = {"messages": [{"role": "user", "content": f"{content} {number}"}], "max_tokens": 9}
    if model:
        body["model"] = model
    line = {"custom_id": f"ask-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return orjson.dumps({**line, **changes})


class Stage:
    """`client` is OpenAI's, for the account `@cloud`; `cloud` the fake, `gw` the gateway."""

    def __init__(self, gw, cloud, fake, client):
        self.gw, self.cloud, self.fake, self.client = gw, cloud, fake, client

    async def upload(self, content, *, purpose="batch", name="in.jsonl", **headers):
        said = {f"x-portkey-{key.replace('_', '-')}": value for key, value in headers.items()}
        return await self.client.files.create(file=(name, content), purpose=purpose, extra_headers=said)

    @property
    def records(self):
        return [record for record, _, _ in self.gw.recorded.items]


@asynccontextmanager
async def staged(tmp_path, cloud, *, provider, settings, secrets, path="", hosts=("127.0.0.1",), key="", **changes):
    async with FakeProvider(cloud) as fake:
        sealed = secret_of(secrets, hosts, key)
        fields = {"settings": settings, "custom_host": fake.origin + path, "secret": sealed.id, **changes}
        row = kit.virtual_key("cloud", provider=provider, **fields)
        async with (
            gateway(tmp_path, virtual_keys=[row], secrets=[sealed]) as gw,
            openai.AsyncOpenAI(
                base_url=gw.url + "/v1",
                api_key=kit.KEY_TEXT,
                default_headers={"x-portkey-provider": "@cloud"},
                max_retries=0,
            ) as client,
        ):
            yield Stage(gw, cloud, fake, client)


def bedrock(tmp_path, cloud=None, *, bucket="in-bucket", **changes):
    settings, secrets = credentials()
    settings |= {"aws_s3_bucket": bucket} if bucket else {}
    return staged(
        tmp_path, cloud or FakeAwsBulk(), provider="bedrock", **{"settings": settings, "secrets": secrets, **changes}
    )


def converse_answer(record):
    text = record["modelInput"]["messages"][0]["content"][0]["text"]
    message = {"role": "assistant", "content": [{"text": f"re: {text}"}]}
    usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
    return {"modelOutput": {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}}


def lines_of(content):
    return [orjson.loads(line) for line in content.splitlines()]
