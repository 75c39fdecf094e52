"""The kit that every app uses: tenancy, scopes, resources, errors, audit, outbox; it knows no app."""
