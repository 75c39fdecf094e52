"""Keys and seals, each a thin layer over a maintained library."""
