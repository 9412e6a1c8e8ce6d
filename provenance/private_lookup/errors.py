"""What can go wrong with a private look-up. Every message is a sentence for a person and says what to do."""

from __future__ import annotations


class PrivateLookupError(RuntimeError):
    """A private look-up cannot be made."""


class SchemeError(PrivateLookupError):
    """Parameters that are not offered, or that do not fit together."""


class EngineUnavailable(PrivateLookupError):
    """No engine can run here: an interpreter or OpenFHE is missing."""


class EngineFailed(PrivateLookupError):
    """The engine ended, even when it was started again, or speaks another protocol."""


class WorkerLied(PrivateLookupError):
    """Two workers evaluated the same block and returned other bytes."""


class BadInput(PrivateLookupError):
    """Bytes that are not what they should be: cut, altered, too large, or made under other keys."""


class Refused(PrivateLookupError):
    """A party does not do what is asked, because it is not what was agreed."""


class Forgotten(Refused):
    """A party was started again in the middle of a request, which is to be begun anew."""


class WrongPassphrase(PrivateLookupError):
    """A share cannot be opened with this passphrase, or its file was altered."""


class KeyholderUnreachable(PrivateLookupError):
    """A keyholder does not answer, or went away in the middle."""
