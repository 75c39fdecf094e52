"""The nouns of one request: plain data, no I/O."""
