"""What searches ended in, how well scores put it in order, and a ranker to compare scores with."""
