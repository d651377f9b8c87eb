"""The explorer: pages on which people look at a model, beside the routes that programs ask."""
