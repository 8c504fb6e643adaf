"""What receipts say of messages: a peer holds keys that mask them, and must not be able to test guesses."""

import hashlib
import itertools

import numpy as np
import pytest
from blake3 import blake3

from pets.errors import InternalError
from pets.kernels import permute, prf
from pets.party import gate
from tests.oracles import helper_join as oracle
from tests.oracles.gated import CARD, OPENING, PARTIES, gate_of, gated
from tests.oracles.play import play

SEED = 3
CASE = oracle.Case(
    g=2,
    k=1,
    ids_a=[b"%010d" % i for i in range(60)],
    cell=[int(i % 3 == 0) for i in range(60)],
    x=[],
    ids_b=[b"0000000001", b"0000000002"],
    y=[[1, 1]],
    summed=[(0, None)],
    n_a=100,
    n_b=100,
    fixed=True,
)
NOISE = np.zeros((3, 1, 2), np.uint64)
NOISE[1] = [[5, 2**64 - 9]]


def receipts() -> dict[tuple[str, int], gate.Sent]:
    roles = oracle.roles(CASE, SEED, noise_words=NOISE)
    done = play({name: gated(role, gate_of(name, CASE.public())) for name, role in roles.items()}, seed=SEED)
    return {(sent.label, sent.column): sent for _, saw in done.outputs.values() for sent in saw}


def guesses_of_group_sizes() -> dict[str, int]:
    """Role b knows rho2: for two cells, the plain digest of M8 has as many candidates as a's list has rows."""
    rows = CASE.shape().n_list_a
    rho2 = permute.permutation(oracle.families(SEED)["ab@b"].key("rho2"), rows)
    return {hashlib.sha256(rho2[[end, rows - 1]].tobytes()).hexdigest(): rows - 2 - end for end in range(rows - 1)}


def guesses_of_noise() -> dict[str, tuple[int, int]]:
    """Role a knows the mask of Mn: what it hides is small."""
    mask = prf.words(oracle.families(SEED)["ab@a"].key("noise", 0), 2)
    found = {}
    for pair in itertools.product(range(-12, 13), repeat=2):
        found[hashlib.sha256((np.array(pair, np.int64).view(np.uint64) - mask).tobytes()).hexdigest()] = pair
    return found


def test_the_guesses_bite_on_plain_digests() -> None:
    sent = play(oracle.roles(CASE, SEED, noise_words=NOISE), seed=SEED)
    assert guesses_of_group_sizes()[hashlib.sha256(sent.array("M8").tobytes()).hexdigest()] == sum(CASE.cell)
    assert guesses_of_noise()[hashlib.sha256(sent.array("Mn").tobytes()).hexdigest()] == (5, -9)


def test_a_peer_cannot_test_guesses_on_digests_of_receipts() -> None:
    found = receipts()
    assert found["M8", 0].sha256 not in guesses_of_group_sizes()
    assert found["Mn", 0].sha256 not in guesses_of_noise()


def test_only_what_went_to_the_result_party_has_a_plain_digest() -> None:
    sent = play(oracle.roles(CASE, SEED, noise_words=NOISE), seed=SEED)
    for (label, column), item in receipts().items():
        plain = hashlib.sha256(sent.array(label, column).tobytes()).hexdigest()
        assert (item.sha256 == plain) == (label in ("M7a", "M7c")), label


def test_who_is_shown_the_opening_of_one_message_can_check_that_message() -> None:
    sent = play(oracle.roles(CASE, SEED, noise_words=NOISE), seed=SEED)
    shown = gate.opened_by(OPENING, "M8", 0)
    message = np.frombuffer(sent.array("M8").tobytes(), np.uint8)
    assert receipts()["M8", 0].sha256 == hashlib.sha256(shown + blake3(message.tobytes()).digest()).hexdigest()
    assert len({gate.opened_by(OPENING, label, column) for label in ("M6", "M5") for column in range(3)}) == 6


def test_a_gate_that_could_not_hide_its_digests_is_refused() -> None:
    for role in ("a", "b", "helper"):
        with pytest.raises(InternalError, match="nothing hides"):
            gate.Gate(gate.project(CARD, CASE.public(), PARTIES, role))
    gate.Gate(gate.project(CARD, CASE.public(), PARTIES, "result")).close()
