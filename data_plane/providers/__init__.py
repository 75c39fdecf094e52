"""Translation to and from each provider: pure functions, one module per provider, binding PROVIDER."""
