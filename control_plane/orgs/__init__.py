"""Organisations, their workspaces, and who belongs to them."""
