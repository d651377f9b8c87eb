"""The command line, from ``item2vec simulate`` to ``item2vec show``."""

from item2vec.cli.app import app, main

__all__ = ["app", "main"]
