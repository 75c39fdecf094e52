"""How configuration gets here: enrol, pull, verify, store, activate."""
