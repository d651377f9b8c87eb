"""Adds batches to a history store, as a process of its own: URL PREFIX NOW NAME FIRST BEHIND USERS."""

from __future__ import annotations

import sys

from item2vec.recommendations.history_stores import open_history_store
from item2vec.recommendations.user_events import UserEvent


def batch_of(name: str, number: int, n_users: int, now: int) -> dict[str, list[UserEvent]]:
    """An event of the batch's own item for each of the users."""
    event = UserEvent(f"{name}-{number}", "click", now - 10_000_000 + number)
    return {f"user-{user}": [event] for user in range(n_users)}


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    url, prefix, name = sys.argv[1:4]
    now, first, behind, n_users = map(int, sys.argv[4:])
    with open_history_store(url, prefix=prefix, clock=lambda: now, max_events_per_user=100_000) as store:
        tell("opened")
        sys.stdin.readline()  # all begin at once
        for number in range(first, behind):
            added = store.add(batch_of(name, number, n_users, now))
            tell(f"{number} {added.stored}")
