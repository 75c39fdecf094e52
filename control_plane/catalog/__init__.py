"""Integrations and virtual keys: accounts with providers, and their names in requests."""
