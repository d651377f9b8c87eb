"""What a user did in the last two weeks, and of what type they are, as eight features of a ranker."""
