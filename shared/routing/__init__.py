"""Which target next: compiled from a config, walked by the gateway, simulated by the control plane."""
