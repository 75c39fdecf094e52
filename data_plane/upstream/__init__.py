"""Sending to providers and to the control plane: the only place that knows an HTTP client."""
