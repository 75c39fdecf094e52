"""Provider credentials, encrypted at rest."""
