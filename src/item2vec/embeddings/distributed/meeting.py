"""A store of keys that only the workers of this start use.

torchrun keeps one store for all its restarts (torch 2.13): a restarted worker may find the address of a dead
one there and wait for it until the timeout. TORCHELASTIC_RESTART_COUNT tells starts apart on one machine
only, so the workers agree on a name that nobody used before.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from item2vec.errors import TrainingError

POLL_SECONDS = 0.02


def fresh_store(store: Any, rank: int, size: int, timeout_seconds: float) -> Any:
    """Return the part of a torch store that these workers agree on, without keys of earlier starts.

    Worker 0 draws the name. It answers what the others say until they have said back its name: what was said
    in an earlier start is answered too, and nobody takes that answer.

    Raises
    ------
    TrainingError
        If a worker does not come in time.
    """
    import torch.distributed

    deadline = time.monotonic() + timeout_seconds
    own = uuid.uuid4().hex.encode()
    missing = set(range(1, size)) if rank == 0 else {rank}
    if rank:
        store.set(f"hello/{rank}", own)
    name = own
    while missing:
        if rank == 0:
            for other in missing:
                store.set(f"welcome/{other}", (_said(store, f"hello/{other}") or b"-") + b" " + own)
            missing = {other for other in missing if _said(store, f"thanks/{other}") != own}
        else:
            greeted, _, name = (_said(store, f"welcome/{rank}") or b"").partition(b" ")
            missing = missing if greeted != own else set()
        if time.monotonic() > deadline:
            absent = ", ".join(map(str, sorted(missing))) if rank == 0 else "0"
            raise TrainingError(
                f"worker {rank} of {size} waited in vain for worker {absent}; look at its log"
            )
        time.sleep(POLL_SECONDS if missing else 0)
    if rank:
        store.set(f"thanks/{rank}", name)
    return torch.distributed.PrefixStore(  # type: ignore[attr-defined]
        name.decode(), store
    )


def _said(store: Any, key: str) -> bytes | None:
    """Return what stands under a key, without waiting for it."""
    return bytes(store.get(key)) if store.check([key]) else None
