"""A provider's further credentials and settings, as a target names them and as headers do.

The name in a config is `azure_resource_name`; the header is `x-portkey-azure-resource-name`.  What is secret among them
is kept as a `Secret`.  Source: `contract.md` 1 and 2.1.
"""

from typing import Any, Final

import orjson

from shared.redact import Secret
from shared.schema.values import Faults, Path, Reader, expected, fields, flag, items, text

#: Settings that are secret.
SECRET_SETTINGS: Final = (
    "azure_ad_token", "azure_entra_client_secret", "aws_secret_access_key", "aws_session_token",
    "vertex_service_account_json", "oracle_private_key", "oracle_key_passphrase",
)  # fmt: skip
_PLAIN: Final = (
    "resource_name", "deployment_id", "api_version",
    "azure_resource_name", "azure_deployment_id", "azure_api_version", "azure_auth_mode", "azure_managed_client_id",
    "azure_workload_client_id", "azure_entra_client_id", "azure_entra_tenant_id", "azure_entra_scope",
    "azure_model_name", "azure_endpoint_name", "azure_foundry_url", "azure_extra_params", "azure_region",
    "azure_deployment_name", "azure_deployment_type",
    "aws_access_key_id", "aws_region", "aws_role_arn", "aws_auth_type", "aws_external_id", "aws_s3_bucket",
    "aws_s3_object_key", "aws_bedrock_model", "amz_server_side_encryption",
    "amz_server_side_encryption_aws_kms_key_id", "anthropic_aws_workspace_id",
    "amzn_sagemaker_custom_attributes", "amzn_sagemaker_target_model", "amzn_sagemaker_target_variant",
    "amzn_sagemaker_target_container_hostname", "amzn_sagemaker_inference_id",
    "amzn_sagemaker_enable_explanations", "amzn_sagemaker_inference_component", "amzn_sagemaker_session_id",
    "amzn_sagemaker_model_name",
    "vertex_project_id", "vertex_region", "vertex_storage_bucket_name", "vertex_auth_type",
    "provider_file_name", "provider_model", "provider_batch_endpoint", "file_upload_size", "file_purpose",
    "openai_organization", "openai_project", "openai_beta", "anthropic_beta", "anthropic_version",
    "fireworks_account_id", "workers_ai_account_id", "huggingface_base_url", "mistral_fim_completion",
    "stability_client_id", "stability_client_user_id", "stability_client_version", "snowflake_account",
    "oracle_api_version", "oracle_region", "oracle_compartment_id", "oracle_serving_mode", "oracle_tenancy",
    "oracle_user", "oracle_fingerprint", "databricks_workspace", "databricks_serving_endpoint_name",
    "byteplus_region",
)  # fmt: skip
#: What configs called these before other clouds had them too.
SETTING_ALIASES: Final = {
    "resource_name": "azure_resource_name", "deployment_id": "azure_deployment_id", "api_version": "azure_api_version",
}  # fmt: skip
#: Settings that are addresses: a caller who may not send a custom host may not send these either.
ADDRESS_SETTINGS: Final = ("huggingface_base_url", "azure_foundry_url")

#: Whole numbers up to here are the same everywhere.
_MAX_NUMBER: Final = 2**53


def _plain(value: Any, path: Path, faults: Faults) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and abs(value) <= _MAX_NUMBER:
        return str(int(value) if value == int(value) else value)
    return text(value, path, faults)


def _secret(value: Any, path: Path, faults: Faults) -> Secret | None:
    if isinstance(value, dict):
        try:
            return Secret(orjson.dumps(value).decode())
        except TypeError:
            faults.add(path, "Not an object that can be written as JSON")
            return None
    read = text(value, path, faults)
    return None if read is None else Secret(read)


def _deployment(value: Any, path: Path, faults: Faults) -> dict[str, Any] | None:
    readers: dict[str, Reader] = {"deployment_id": text, "alias": text, "api_version": text, "is_default": flag}
    return fields(value, path, faults, readers, required=("deployment_id", "alias", "api_version"))


def _deployments(value: Any, path: Path, faults: Faults) -> tuple[dict[str, Any], ...] | None:
    if not isinstance(value, list):
        expected("array", value, path, faults)
        return None
    return items(value, path, faults, _deployment)


#: The reader of every setting, by its name in a config.
TARGET_SETTINGS: Final[dict[str, Reader]] = {
    **dict.fromkeys(_PLAIN, _plain),
    **dict.fromkeys(SECRET_SETTINGS, _secret),
    "deployments": _deployments,
}
#: The setting of every header, names in lower case; `True` where it is secret.
SETTING_HEADERS: Final[dict[str, tuple[str, bool]]] = {
    f"x-portkey-{name.replace('_', '-')}": (name, name in SECRET_SETTINGS) for name in (*_PLAIN, *SECRET_SETTINGS)
}
