"""helper_join against its plaintext twin, its card, and the mistakes that its design warns of."""

import numpy as np
import pytest

from pets.errors import PeerError
from pets.protocols import helper_join as hj
from pets.spec.cards import load_cards
from tests.oracles import helper_join as oracle
from tests.oracles.play import Transcript, play, words

CARD = load_cards()["helper_join_a"]


def run(case: oracle.Case, seed: int = 1, **kwargs: object) -> Transcript:
    return play(oracle.roles(case, seed, **kwargs), seed=seed)  # type: ignore[arg-type]


def opened(transcript: Transcript) -> np.ndarray:
    return hj.open_shares(*transcript.outputs["result"])


@pytest.mark.parametrize("seed", range(60))
def test_sums_equal_the_plaintext_twin(seed: int) -> None:
    case = oracle.random_case(seed)
    assert np.array_equal(opened(run(case, seed)), case.oracle())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_sums_equal_the_plaintext_twin_many(seed: int) -> None:
    case = oracle.random_case(seed)
    assert np.array_equal(opened(run(case, seed)), case.oracle())
