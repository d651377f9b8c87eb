"""One training by several workers: each trains its share of the sessions, and they exchange what they learn.

``python -m item2vec.embeddings.train_worker`` is one worker; :mod:`.launch` starts all of them.
"""
