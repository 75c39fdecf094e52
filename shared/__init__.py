"""What both planes must agree on: pure, no framework, no I/O."""
