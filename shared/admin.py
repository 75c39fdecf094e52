"""Which paths below `/v1` are administration, and so the control plane's?  Gateways relay them when they are told to.

Whatever else a gateway does not serve belongs to a provider.  Source: `contract.md` 9.
"""

from typing import Final

#: First segments of the Admin API's paths.
ADMIN_SEGMENTS: Final = frozenset(
    {"admin", "agent-integrations", "agent-servers", "alert-deliveries", "alert-destinations", "analytics", "api-keys",
     "audit-logs", "budgets", "collections", "configs", "custom-providers", "deployments", "feedback", "guardrails",
     "integrations", "labels", "limits", "logs", "mcp-integrations", "mcp-servers", "model-configs", "plugins",
     "policies", "prompts", "providers", "scim", "secret-references", "virtual-keys", "workspace-exclusions"}
)  # fmt: skip
