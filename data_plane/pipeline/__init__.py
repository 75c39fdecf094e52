"""The stages of a request, in the order they run."""
