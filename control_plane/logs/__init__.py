"""Records of requests: taken from gateways exactly once, kept by day, read by API and pages."""
