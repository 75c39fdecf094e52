"""Configs and their immutable versions."""
