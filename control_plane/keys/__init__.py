"""API keys: what callers present to gateways and to the Admin API."""
