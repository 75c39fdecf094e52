"""How often may this be asked for?  Limits of rate, counted across workers and gateways."""
