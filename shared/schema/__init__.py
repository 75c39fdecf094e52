"""The nouns both planes store and send, as msgspec structs."""
