"""Where a training runs, as its command line says it."""

from __future__ import annotations

import argparse

import torch


def device(text: str) -> str:
    """Check a device's name, such as ``cpu`` or ``cuda``, for :mod:`argparse`.

    Raises:
        argparse.ArgumentTypeError: PyTorch does not know it, or there is none here.
    """
    try:
        torch.empty(1, device=text)
    except (RuntimeError, AssertionError) as problem:
        raise argparse.ArgumentTypeError(f"there is no device “{text}” here; leave --device out") from problem
    return text
