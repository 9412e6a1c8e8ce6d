"""The code and the tag of signatures."""

import numpy as np
import pytest

from provenance.watermark.payload import (
    RAW_BITS,
    Payload,
    authentication_tag,
    decode,
    encode,
    generator_polynomial,
    is_genuine,
)

KEY = bytes(range(32))


def _some(number: int) -> Payload:
    return Payload(number, authentication_tag(KEY, number, b"a picture"))


def test_the_code_is_the_one_of_the_tables() -> None:
    # Lin and Costello, Error Control Coding, appendix C: BCH (127, 64), in octal.
    assert oct(generator_polynomial()) == "0o1206534025570773100045"


@pytest.mark.parametrize("number", [0, 1, 123_456, (1 << 24) - 1])
def test_it_works(number: int) -> None:
    payload = _some(number)
    assert decode(np.where(encode(payload), 1.0, -1.0)) == (payload, pytest.approx(1.0))


def test_any_ten_wrong_bits_are_corrected() -> None:
    random = np.random.default_rng(3)
    for number in range(40):
        soft = np.where(encode(_some(number)), 1.0, -1.0)
        # All as certain as the others, so that only the code tells.
        soft[random.permutation(RAW_BITS)[:10]] *= -0.2
        assert decode(soft)[0] == _some(number)


def test_soft_values_correct_more_than_ten() -> None:
    random = np.random.default_rng(4)
    wrong, right = [], 0
    for number in range(60):
        bits = encode(_some(number))
        soft = np.where(bits, 1.3, -1.3) + random.standard_normal(RAW_BITS)
        wrong.append(int(((soft > 0) != bits).sum()))
        right += decode(soft)[0] == _some(number)
    assert np.mean(wrong) > 10
    assert right >= 54


@pytest.mark.parametrize("places", [(3, 9, 15), (36, 46, 50, 55)], ids=["three_of_all", "four_of_the_last_32"])
def test_wrong_bits_among_the_most_certain_are_found(places: tuple[int, ...]) -> None:
    random = np.random.default_rng(6)
    for number in range(10):
        soft = np.where(encode(_some(number)), 1.0, -1.0) * random.permutation(np.linspace(1.2, 0.8, RAW_BITS))
        soft[np.argsort(-np.abs(soft))[list(places)]] *= -1
        assert decode(soft)[0] == _some(number)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_the_unit_of_soft_values_does_not_matter(unit: float) -> None:
    soft = np.where(encode(_some(7)), 1.0, -1.0)
    soft[:9] *= -0.3
    payload, fit = decode(soft * unit)
    assert payload == _some(7)
    assert fit == pytest.approx(decode(soft)[1])
    assert fit < 1


def test_no_soft_value_says_anything() -> None:
    assert decode(np.zeros(RAW_BITS))[1] == 0


def test_two_words_differ_in_21_bits_or_more() -> None:
    words = np.stack([encode(_some(number)) for number in range(200)])
    distances = (words[:, None] != words[None]).sum(2)[np.triu_indices(200, 1)]
    assert distances.min() >= 21


def test_a_tag_is_for_one_key_number_and_subject() -> None:
    payload = _some(7)
    assert is_genuine(KEY, payload, b"a picture")
    assert not is_genuine(KEY, payload, b"another picture")
    assert not is_genuine(KEY[::-1], payload, b"a picture")
    assert not is_genuine(KEY, Payload(8, payload.tag), b"a picture")


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Payload(-1, bytes(5)),
        lambda: Payload(1 << 24, bytes(5)),
        lambda: Payload(1, bytes(4)),
        lambda: authentication_tag(b"short", 1, b""),
        lambda: decode(np.zeros(126)),
        lambda: decode(np.full(127, np.nan)),
    ],
)
def test_what_is_wrong_is_refused(bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"bits|bytes|finite"):
        bad()
