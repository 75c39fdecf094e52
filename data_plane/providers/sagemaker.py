"""Amazon SageMaker: endpoints of an account's own, whose containers speak OpenAI's API.

The model is the endpoint's name; what the container calls its model is a setting.  Calls are signed with an access key
(`_aws_account.py` says where that comes from).
Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from data_plane.core.identity import IdentityAsk
from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._aws import EVENT_STREAM
from data_plane.providers._aws_account import AWS_FIELDS, aws_identity, sign_as_account
from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers._payload_stream import PayloadSplitter, read_container_fault
from data_plane.providers.base import CredentialField, Framing, Operation, Provider
from shared.errors import BadRequest
from shared.redact import Secret

_ID: Final = "sagemaker"
_MODEL_NAME: Final = "amzn_sagemaker_model_name"
#: Settings, and what they are called in credential forms; each is a header with the same name.
_SETTINGS: Final = {
    "amzn_sagemaker_custom_attributes": "Custom attributes",
    "amzn_sagemaker_target_model": "Target model",
    "amzn_sagemaker_target_variant": "Target variant",
    "amzn_sagemaker_target_container_hostname": "Target container",
    "amzn_sagemaker_inference_id": "Inference ID",
    "amzn_sagemaker_enable_explanations": "Explanations",
    "amzn_sagemaker_inference_component": "Inference component",
    "amzn_sagemaker_session_id": "Session ID",
}


def _header(setting: str) -> str:
    return f"x-{setting.replace('_', '-')}"


def _path(facts: CallFacts) -> str:
    if facts.model.strip(".") == "":
        raise BadRequest("model must name an endpoint.", path="model")
    action = "invocations-response-stream" if facts.stream else "invocations"
    return f"/endpoints/{quote(facts.model, safe='', errors='replace')}/{action}"


def _invoked(operation: Operation) -> Operation:
    """Return an operation of OpenAI's as an endpoint has it."""

    def encode(body: Json, facts: CallFacts) -> Json:
        shaped = operation.encode(body, facts)
        # The endpoint's name is nothing to its container, which has one model unless it is told of another.
        del shaped["model"]
        name = facts.settings.get(_MODEL_NAME)
        return {**shaped, "model": name} if name else shaped

    return replace(
        operation,
        path=_path,
        encode=encode,
        fault=read_container_fault,
        framing=Framing(PayloadSplitter, EVENT_STREAM),
        passes_through=False,
    )


def _headers(facts: CallFacts) -> dict[str, str]:
    return {_header(name): str(facts.settings[name]) for name in _SETTINGS if facts.settings.get(name)}


def _token(_key: Secret | None, facts: CallFacts) -> IdentityAsk | None:
    return aws_identity(facts.settings, provider=_ID, service="runtime.sagemaker")


def _sign(request: UpstreamRequest, _key: Secret | None, facts: CallFacts) -> None:
    """Sign with the access key; raises BadRequest when there is none."""
    if not sign_as_account(request, facts, provider=_ID, service="sagemaker"):
        raise BadRequest(f"{_ID} needs aws_access_key_id and aws_secret_access_key.", path="aws_access_key_id")


PROVIDER = Provider(
    id=_ID,
    label="Amazon SageMaker",
    base_url="https://runtime.sagemaker.{aws_region}.amazonaws.com",
    authorise=bearer,
    operations={
        "chat": _invoked(chat(_ID)),
        "complete": _invoked(complete(_ID)),
        "embed": _invoked(listing(_ID, "")),
    },
    caller_headers=tuple(_header(name) for name in _SETTINGS),
    credential=(
        *AWS_FIELDS,
        CredentialField(_MODEL_NAME, "Model name in the container", required=False),
        *(CredentialField(name, label, required=False) for name, label in _SETTINGS.items()),
    ),
    headers=_headers,
    token=_token,
    sign=_sign,
    lists_models=False,
)
