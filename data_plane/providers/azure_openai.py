"""Azure OpenAI: OpenAI's bodies below deployments.  Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference"""

from data_plane.providers._azure import ENTRA_FIELDS, LOGIN, at_deployment, at_root, authorise, forwarded, sign, token
from data_plane.providers._openai_like import chat, complete, listing, speech
from data_plane.providers._openai_media import forms, image
from data_plane.providers._openai_realtime import azure_realtime
from data_plane.providers._openai_responses import native_responses
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="azure-openai",
    label="Azure OpenAI",
    base_url="https://{azure_resource_name}.openai.azure.com/openai",
    authorise=authorise,
    operations={
        "chat": at_deployment(chat("azure-openai")),
        "responses": at_root(native_responses("azure-openai")),
        "complete": at_deployment(complete("azure-openai")),
        "embed": at_deployment(listing("azure-openai", "/embeddings")),
        "image": at_deployment(image("azure-openai")),
        "speech": at_deployment(speech("azure-openai")),
        "realtime": azure_realtime("azure-openai"),
        **{
            name: at_deployment(operation)
            for name, operation in forms("azure-openai", "transcribe", "translate", "edit_image").items()
        },
    },
    credential=(
        CredentialField("key", "API key", secret=True, required=False),
        CredentialField("azure_resource_name", "Resource"),
        CredentialField("azure_deployment_id", "Deployment (empty: the model's name)", required=False),
        CredentialField("azure_api_version", "API version (empty: v1)", required=False),
        *ENTRA_FIELDS,
    ),
    price_source="azure",
    token=token,
    hosts=(LOGIN,),
    sign=sign,
    forwarded=forwarded,
)
