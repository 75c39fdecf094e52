"""What the clouds' machines and token services would say: strict ones, that refuse what is not said as they ask for it.

`FakeCloud` is a script for a FakeProvider: it plays AWS, Azure and Google at once, told apart by their paths.
"""

import datetime as dt
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from data_plane.upstream.client import UpstreamClient
from tests.fakes.provider import Reply

ROLE = "arn:aws:iam::123456789012:role/gateway/caller"
POD_ROLE = "arn:aws:iam::123456789012:role/pod"
EXTERNAL_ID = "tenant-7"
#: Access keys that AWS knows, and those that it lends.
BASE = ("AKIABASE", "base/secret", None)
OWN = ("AKIAOWN", "own/secret", None)
KEYS = {key[0]: key for key in (BASE, OWN)}
POD_PROOF, CONTAINER_PROOF, IMDS_TOKEN = "pod-proof", "container-proof", "imds-token"
LIFE_S = 3600
XML = {"content-type": "text/xml"}
GOOGLE_AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AZURE_RESOURCE = "https://cognitiveservices.azure.com"


def ends(life_s=LIFE_S):
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=life_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def lent(name):
    """The temporary access key that AWS lends as `name`."""
    return f"ASIA{name}", f"{name}/secret", f"{name}-session=="


def sts_xml(action, key, life_s=LIFE_S):
    key_id, secret, token = key
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn></AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        f"<SessionToken>{token}</SessionToken><Expiration>{ends(life_s)}</Expiration></Credentials>"
        f"</{action}Result></{action}Response>"
    ).encode()


def machine_json(key, life_s=LIFE_S):
    return {
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key[0], "SecretAccessKey": key[1], "Token": key[2],
        "Expiration": ends(life_s),
    }  # fmt: skip


def sts_error(code, status=403):
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>secret story</Message></Error></ErrorResponse>"
    return Reply(status, body=body.encode(), headers=XML)


def signature_fault(seen, keys, service):
    """What AWS would find wrong with a signature: recomputed by its own code from what arrived; None when nothing."""
    told = seen.headers.get("authorization", "")
    if not told.startswith("AWS4-HMAC-SHA256 "):
        return "unsigned"
    parts = dict(part.split("=", 1) for part in told.partition(" ")[2].split(", "))
    key_id, day, region, named, _ = parts["Credential"].split("/")
    stamp = seen.headers["x-amz-date"]
    age_s = abs((dt.datetime.now(dt.UTC) - dt.datetime.strptime(stamp, "%Y%m%dT%H%M%S%z")).total_seconds())
    if key_id not in keys or named != service or day != stamp[:8] or age_s > 900:
        return "unknown key, service or time"
    _, secret, token = keys[key_id]
    if seen.headers.get("x-amz-security-token") != token:
        return "another session token"
    headers = {name: seen.headers[name] for name in parts["SignedHeaders"].split(";") if name != "host"}
    request = AWSRequest(seen.method, f"http://{seen.headers['host']}{seen.target}", data=seen.body, headers=headers)
    request.context["timestamp"] = stamp
    auth = SigV4Auth(Credentials(key_id, secret, token), service, region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if parts["Signature"] == expected else "wrong signature"


class FakeCloud:
    """Answers each request as the cloud would that it is for; `refusals` are why requests were refused."""

    def __init__(self, *, life_s=LIFE_S):
        self.life_s = life_s
        self.refusals = []
        self.keys = dict(KEYS)
        self.lent = 0
        self.tokens = {"google-token", "azure-token", "impersonated", "workload-token", "federated-token"}

    def refuse(self, why, reply):
        self.refusals.append(why)
        return reply

    def __call__(self, seen):
        path = seen.path
        if path == "/" and seen.method == "POST":
            return self.sts(seen)
        if path.startswith("/latest/"):
            return self.imds(seen)
        if path == "/v2/credentials":
            return self.container(seen)
        if path in {"/metadata/identity/oauth2/token", "/msi/token"}:
            return self.managed(seen)
        if path.endswith("/oauth2/v2.0/token"):
            return self.entra(seen)
        if path.startswith("/computeMetadata/"):
            return self.google_machine(seen)
        if path == "/v1/token":
            return self.google_exchange(seen)
        if path.endswith(":generateAccessToken"):
            return self.google_impersonation(seen)
        if path == "/subject":
            return self.subject(seen)
        return self.model(seen)

    # AWS

    def lend(self):
        self.lent += 1
        key = lent(f"LENT{self.lent}")
        self.keys[key[0]] = key
        return key

    def sts(self, seen):
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        if form.get("Version") != "2011-06-15" or seen.headers["content-type"] != "application/x-www-form-urlencoded":
            return self.refuse("no call of this service", sts_error("InvalidAction", 400))
        action = form["Action"]
        if action == "AssumeRoleWithWebIdentity":
            if (form["WebIdentityToken"], form["RoleArn"]) != (POD_PROOF, POD_ROLE) or "authorization" in seen.headers:
                return self.refuse("another proof", sts_error("InvalidIdentityToken", 400))
        elif fault := signature_fault(seen, self.keys, "sts"):
            return self.refuse(fault, sts_error("SignatureDoesNotMatch"))
        elif (form["RoleArn"], form.get("ExternalId")) != (ROLE, EXTERNAL_ID) or form["DurationSeconds"] != "3600":
            return self.refuse("another role", sts_error("AccessDenied"))
        if not form.get("RoleSessionName"):
            return self.refuse("no session", sts_error("ValidationError", 400))
        return Reply(body=sts_xml(action, self.lend(), self.life_s), headers=XML)

    def imds(self, seen):
        if seen.path == "/latest/api/token":
            if (
                seen.method != "PUT"
                or not 0 < int(seen.headers.get("x-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600
            ):
                return self.refuse("no life of a token", Reply(400))
            return Reply(body=IMDS_TOKEN.encode(), headers={"content-type": "text/plain"})
        if seen.headers.get("x-aws-ec2-metadata-token") != IMDS_TOKEN:
            return self.refuse("version 1", Reply(401))
        if seen.path == "/latest/meta-data/iam/security-credentials/":
            return Reply(body=b"the-role\n", headers={"content-type": "text/plain"})
        if seen.path == "/latest/meta-data/iam/security-credentials/the-role":
            return Reply(json=machine_json(self.lend(), self.life_s))
        return self.refuse("no such path", Reply(404))

    def container(self, seen):
        if seen.headers.get("authorization") != CONTAINER_PROOF:
            return self.refuse("no proof", Reply(401, json={"Code": "AccessDenied"}))
        return Reply(json=machine_json(self.lend(), self.life_s))

    # Azure

    def managed(self, seen):
        query = dict(parse_qsl(urlsplit(seen.target).query))
        if seen.path == "/msi/token":
            right = (seen.headers.get("x-identity-header"), query.get("api-version")) == ("app-proof", "2019-08-01")
        else:
            right = (seen.headers.get("metadata"), query.get("api-version")) == ("true", "2018-02-01")
        if not right or seen.method != "GET" or "x-forwarded-for" in seen.headers:
            return self.refuse("a header is missing", Reply(400, json={"error": "invalid_request"}))
        if query.get("client_id", "machine") not in {"machine", "the-client"}:
            return self.refuse("another identity", Reply(400, json={"error": "invalid_request"}))
        answers = {AZURE_RESOURCE: "azure-token", "api://AzureADTokenExchange": "exchange-token"}
        if query.get("resource") not in answers:
            return self.refuse("another resource", Reply(400, json={"error": "invalid_resource"}))
        told = {
            "access_token": answers[query["resource"]],
            "token_type": "Bearer",
            "client_id": query.get("client_id", ""),
        }
        at = str(int(dt.datetime.now(dt.UTC).timestamp()) + self.life_s)
        # App Service says when it ends, in a text; the machine says it both ways.
        return Reply(
            json={**told, "expires_on": at} if seen.path == "/msi/token" else {**told, "expires_in": str(self.life_s)}
        )

    def entra(self, seen):
        form = dict(parse_qsl(seen.body.decode()))
        known = {("/tenant-1/oauth2/v2.0/token", "pod-client", POD_PROOF): "workload-token",
                 ("/tenant-2/oauth2/v2.0/token", "app", "exchange-token"): "federated-token"}  # fmt: skip
        made = known.get((seen.path, form.get("client_id"), form.get("client_assertion")))
        rest = (form.get("grant_type"), form.get("client_assertion_type"), form.get("scope"))
        wanted = (
            "client_credentials",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            f"{AZURE_RESOURCE}/.default",
        )
        if made is None or rest != wanted:
            return self.refuse("another assertion", Reply(401, json={"error": "invalid_client"}))
        return Reply(json={"access_token": made, "expires_in": self.life_s, "token_type": "Bearer"})

    # Google

    def google_machine(self, seen):
        if seen.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in seen.headers:
            return self.refuse("no flavour", Reply(403))
        if seen.path != "/computeMetadata/v1/instance/service-accounts/default/token":
            return self.refuse("no such path", Reply(404))
        told = {"access_token": "google-token", "expires_in": self.life_s, "token_type": "Bearer"}
        return Reply(json=told, headers={"metadata-flavor": "Google"})

    def google_exchange(self, seen):
        form = dict(parse_qsl(seen.body.decode()))
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": GOOGLE_AUDIENCE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token", "scope": GOOGLE_SCOPE,
            "subject_token": "subject-proof", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }  # fmt: skip
        if {name: form.get(name) for name in wanted} != wanted:
            return self.refuse("another proof or audience", Reply(400, json={"error": "invalid_grant"}))
        told = {
            "access_token": "google-token",
            "issued_token_type": wanted["requested_token_type"],
            "expires_in": self.life_s,
        }
        return Reply(json=told)

    def google_impersonation(self, seen):
        body = seen.json
        if seen.headers.get("authorization") != "Bearer google-token" or "sa@p.iam.example" not in seen.path:
            return self.refuse("another caller", Reply(403, json={"error": {"code": 403}}))
        if body != {"scope": [GOOGLE_SCOPE], "lifetime": f"{LIFE_S}s"}:
            return self.refuse("another scope", Reply(400, json={"error": {"code": 400}}))
        return Reply(json={"accessToken": "impersonated", "expireTime": ends(self.life_s)})

    def subject(self, seen):
        if seen.headers.get("x-proof") != "yes":
            return self.refuse("no header", Reply(403))
        return Reply(json={"id_token": "subject-proof"})

    # models

    def model(self, seen):
        if seen.path.startswith("/model/"):
            if fault := signature_fault(seen, self.keys, "bedrock"):
                return self.refuse(fault, Reply(403, json={"Message": "The security token is invalid."}))
            content = {"message": {"role": "assistant", "content": [{"text": "hi"}]}}
            usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
            return Reply(
                json={"output": content, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
            )
        if seen.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self.refuse("no token", Reply(401, json={"error": {"message": "who are you?"}}))
        return Reply(json={
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        })  # fmt: skip


class Rerouted(UpstreamClient):
    """Sends what is for a cloud's own address to a fake; `called` are the addresses that were meant."""

    def __init__(self, fake):
        super().__init__(frozenset({"127.0.0.1"}))
        self._fake = fake
        self.called = []

    async def send(self, call):
        parts = urlsplit(call.url)
        if parts.hostname.endswith((".googleapis.com", ".amazonaws.com", ".amazonaws.com.cn", ".microsoftonline.com")):
            self.called.append(f"{parts.scheme}://{parts.netloc}")
            call = replace(call, url=call.url.replace(f"{parts.scheme}://{parts.netloc}", self._fake.origin, 1))
        return await super().send(call)


def external_account(**changes):
    """The JSON of a Google account that another cloud's token proves; None takes a member out."""
    told = {
        "type": "external_account", "audience": GOOGLE_AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "/nowhere"}, **changes,
    }  # fmt: skip
    return orjson.dumps({name: value for name, value in told.items() if value is not None}).decode()
