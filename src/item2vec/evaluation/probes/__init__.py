"""What the vectors know: types and prices, markets, places."""
