"""The gateway: serves requests from verified, cached configuration; never calls the control plane to do so."""
