"""Which listing, and which type, a user books next, in the market they go to."""
