"""Records on their way out: built, queued, spooled to disk, uploaded exactly once."""
