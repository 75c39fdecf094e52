"""The ledger: what was used and what it cost, by hour and by whom, exact to the last record."""
