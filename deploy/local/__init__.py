"""How is the whole system run on one bare machine?  `make up` and the test session start from here."""
