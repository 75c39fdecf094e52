"""Management commands of the gateways app."""
