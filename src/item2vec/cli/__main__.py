"""``python -m item2vec.cli``."""

from item2vec.cli.app import main

main()
