"""How much may be used?  Budgets, what was used of them, and what gateways hold of them in advance."""
