"""Pages for people: sign-in, set-up, logs, gateways, keys.  Plain HTML; nothing needs a script."""
