"""Who is this gateway to the clouds, and whom may it become?  The asking of machines and token services."""
