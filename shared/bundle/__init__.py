"""What a gateway pulls: signed heads and manifests, content-addressed blobs."""
