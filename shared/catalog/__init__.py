"""The catalogue of providers: what the control plane knows of them without importing the data plane."""
