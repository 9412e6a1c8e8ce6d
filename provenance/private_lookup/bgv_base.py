"""What lies under ``bgv``: the library's context and bytes, a party's share of a key, and numbers drawn from seeds.

Runs in the engine's process alone, as ``bgv`` does.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openfhe

MODULUS = 65537
Numbers = npt.NDArray[np.int64]


class Malformed(ValueError):
    """Bytes that are no object of this kind, these parameters and these keys."""


class KeyShares:
    """Makes and joins shares of keys.

    Args:
        settings: see ``bgv.Bgv``.

    Raises:
        RuntimeError: OpenFHE refuses the parameters, such as for less than 128 bits of security.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.ring: int = settings["ring"]
        self.tag: str = settings["tag"]
        # Every serialised object names its parameters, whose tables this context has: without this they are computed
        # anew for each, which takes three quarters of the time of reading a ciphertext.
        openfhe.DisablePrecomputeCRTTablesAfterDeserializaton()
        self.context = _context(settings)
        if self.context.GetRingDimension() != self.ring:
            raise RuntimeError(f"the library chose a ring of {self.context.GetRingDimension()}, not of {self.ring}")

    # Each party's share of a key is made from its share of the secret; the first party's shares fix what all have in
    # common.

    def share_keys(self, seed: bytes | None) -> list[bytes]:
        """Return a new share: secret and public.

        Args:
            seed: a public key whose random polynomial all shares have in common; None for a key of its own.
        """
        if seed is None:
            pair = self.context.KeyGen()
        else:
            # Fresh: the share alone, not added to those before it.
            pair = self.context.MultipartyKeyGen(read("PublicKey", seed), False, True)
        return [to_bytes(pair.secretKey), to_bytes(pair.publicKey)]

    def is_pair(self, secret: bytes, public: bytes) -> bool:
        """Tell whether a share's secret part belongs to its public part: what one encrypts, the other decrypts."""
        numbers = any_numbers(secret[-32:] + public[-32:], self.ring)
        sent = self.context.Encrypt(read("PublicKey", public), self.context.MakePackedPlaintext(centred(numbers)))
        plain = self.context.Decrypt(read("PrivateKey", secret), sent)
        plain.SetLength(self.ring)
        return np.array_equal(np.array(plain.GetPackedValue(), np.int64) % MODULUS, numbers)

    def share_relin_first(self, secret: bytes, first: bytes | None) -> bytes:
        """Return a party's first-round share of the relinearisation key.

        Args:
            first: the first party's; None for the first party itself.
        """
        key = read("PrivateKey", secret)
        if first is None:
            return to_bytes(self.context.KeySwitchGen(key, key))
        return to_bytes(self.context.MultiKeySwitchGen(key, key, read("EvalKey", first)))

    def share_automorphism(self, secret: bytes, index: int, first: bytes | None) -> bytes:
        """Return a party's share of the key of one automorphism; ``first`` as for :meth:`share_relin_first`."""
        key = read("PrivateKey", secret)
        if first is None:
            made = self.context.EvalAutomorphismKeyGen(key, [index])
        else:
            given = read("EvalKeyMap", first)
            made = self.context.MultiEvalAutomorphismKeyGen(key, given, [index], self.tag)
        return to_bytes(made)

    def share_relin(self, secret: bytes, joined: bytes) -> bytes:
        """Return a party's second-round share of the relinearisation key, from the joined first-round shares."""
        key, given = read("PrivateKey", secret), read("EvalKey", joined)
        return to_bytes(self.context.MultiMultEvalKey(key, given, self.tag))

    def join(self, kind: str, shares: Sequence[bytes]) -> bytes:
        """Return the joint key: ``public``, ``relin_first``, ``relin`` or ``automorphism``; the order counts."""
        name, add = {
            "public": ("PublicKey", self.context.MultiAddPubKeys),
            "relin_first": ("EvalKey", self.context.MultiAddEvalKeys),
            "relin": ("EvalKey", self.context.MultiAddEvalMultKeys),
            "automorphism": ("EvalKeyMap", self.context.MultiAddEvalAutomorphismKeys),
        }[kind]
        joint = read(name, shares[0])
        for share in shares[1:]:
            joint = add(joint, read(name, share), self.tag)
        return to_bytes(joint)

    def public_key(self, data: bytes) -> Any:
        """Read the joint public key."""
        key = read("PublicKey", data)
        if key.GetKeyTag() != self.tag or key.GetCryptoContext() != self.context:
            raise Malformed("a public key of other parties or parameters")
        return key

    def insert_relin(self, data: bytes) -> None:
        """Use this relinearisation key from now on."""
        key = read("EvalKey", data)
        if key.GetKeyTag() != self.tag:
            raise Malformed("a relinearisation key of other parties")
        openfhe.ClearEvalMultKeys()
        self.context.InsertEvalMultKey([key])

    def automorphism_key(self, data: bytes) -> Any:
        """Read the joint key of one automorphism."""
        return read("EvalKeyMap", data)


def _context(settings: dict[str, Any]) -> Any:
    parameters = openfhe.CCParamsBGVRNS()
    parameters.SetPlaintextModulus(MODULUS)
    parameters.SetRingDim(settings["ring"])
    parameters.SetMultiplicativeDepth(settings["depth"])
    parameters.SetFirstModSize(settings["prime_bits"])
    parameters.SetScalingModSize(settings["prime_bits"])
    parameters.SetScalingTechnique(openfhe.FIXEDMANUAL)
    parameters.SetKeySwitchTechnique(openfhe.HYBRID)
    parameters.SetSecretKeyDist(openfhe.UNIFORM_TERNARY)
    parameters.SetSecurityLevel(openfhe.HEStd_128_classic if settings["secure"] else openfhe.HEStd_NotSet)
    # A share without this noise tells of the secret (eprint 2020/1533).
    parameters.SetMultipartyMode(openfhe.NOISE_FLOODING_MULTIPARTY)
    parameters.SetThresholdNumOfParties(settings["parties"])
    context = openfhe.GenCryptoContext(parameters)
    for feature in ("PKE", "KEYSWITCH", "LEVELEDSHE", "ADVANCEDSHE", "MULTIPARTY"):
        context.Enable(getattr(openfhe, feature))
    return context


def no_openmp_team() -> None:
    """Have OpenFHE keep to the calling thread: else each would have a team of its own, with a stack for each member."""
    ctypes.CDLL("libgomp.so.1").omp_set_max_active_levels(0)


def read(kind: str, data: bytes) -> Any:
    """Read an object; ``kind`` as OpenFHE's functions call it. Raises Malformed where it is none."""
    try:
        found = getattr(openfhe, f"Deserialize{kind}String")(data, openfhe.BINARY)
    except (RuntimeError, ValueError, IndexError, MemoryError) as problem:
        raise Malformed(f"not a serialised {kind}") from problem
    if found is None:
        raise Malformed(f"not a serialised {kind}")
    return found


def to_bytes(value: Any) -> bytes:
    """Return an object's bytes."""
    data: bytes = openfhe.Serialize(value, openfhe.BINARY)
    return data


def centred(values: Numbers) -> Numbers:
    """Return the numbers modulo 65,537 around 0, as OpenFHE takes them."""
    values = values % MODULUS
    return np.where(values > MODULUS // 2, values - MODULUS, values)


def non_zero(seed: bytes, count: int) -> Numbers:
    """Return int64 ``[count]``, uniform in 1..65,536: the numbers modulo 65,537 but 0."""
    drawn = hashlib.shake_256(seed).digest(2 * count)
    return np.frombuffer(drawn, "<u2").astype(np.int64) + 1


def any_numbers(seed: bytes, count: int) -> Numbers:
    """Return int64 ``[count]`` in 0..65,536, uniform but for 2^-47."""
    drawn = hashlib.shake_256(seed).digest(8 * count)
    return (np.frombuffer(drawn, "<u8") % np.uint64(MODULUS)).astype(np.int64)
