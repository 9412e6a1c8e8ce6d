"""How many processors a worker may keep busy."""

from __future__ import annotations

import os

from django.conf import settings


def take_share_of_processors() -> None:
    """Give this worker's networks its share: threads of busy neighbours would mostly wait for each other.

    ``OMP_NUM_THREADS``, where it is set, stands.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // settings.WORKERS))
