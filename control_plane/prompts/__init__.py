"""Prompts: where they are kept (collections) and what marks their versions (labels)."""
