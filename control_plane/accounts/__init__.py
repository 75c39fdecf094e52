"""People: who signs in, and how they choose their first password."""
