"""Listing embeddings from session logs."""
