"""Checked inputs, all roles in one process: sums, and every way in which an upload or a check can be wrong."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, RunError
from pets.kernels import prf
from pets.kernels.circuits import Circuit, Count, Histogram, Sum, SumVec, best_chunk
from pets.kernels.jit import U64Array
from pets.protocols import checked_inputs, checked_sum
from pets.protocols.base import Binding, Role
from pets.protocols.checked_inputs import LAST, Uploads, context, split, verified, verify_key
from pets.protocols.checked_sum import Shape, Unproved, final_share, opened
from pets.secret import Secret
from tests.oracles.play import Array, Key, play

TIED = Binding(digest=bytes(range(32)), run_id=bytes(range(50, 82)))
OTHER_RUN = Binding(digest=TIED.digest, run_id=bytes(32))
OTHER_SPEC = Binding(digest=bytes(32), run_id=TIED.run_id)

CASES: list[tuple[Circuit, list[Any]]] = [
    (Count(), [1, 0, 1]),
    (Sum(1337), [0, 1337, 700]),
    (SumVec(7, best_chunk(7 * 4), 9), [[0, 9, 1, 2, 3, 4, 5], [9] * 7, [0] * 7]),
    (Histogram(6, 2), [5, 0, 5]),
]
EVERY = pytest.mark.parametrize(("circuit", "measurements"), CASES, ids=["count", "sum", "vector", "histogram"])


def stream(number: int) -> prf.Stream:
    return prf.Stream(Secret(bytes([number]) * 16))


def family(server: int, tied: Binding = TIED) -> prf.KeyFamily:
    return prf.KeyFamily(
        Secret(bytes([server + 1]) * 32),
        run_id=tied.run_id,
        digest=tied.digest,
        protocol=checked_inputs.PROTOCOL,
        party_p=LAST,
        party_q=f"server{server + 1}",
    )


def roles(
    shape: Shape, measurements: Sequence[Any], *, noise: Sequence[U64Array] | None = None, tied: Binding = TIED
) -> dict[str, Role[Any]]:
    """All roles of a run of the sum."""
    parts = list(noise) if noise else [np.zeros(shape.circuit.outputs, np.uint64)] * shape.computing
    made: dict[str, Role[Any]] = {
        f"input{i + 1}": checked_sum.input_party(shape, i, vector_of(shape.circuit, m), tied, stream(i))
        for i, m in enumerate(measurements)
    }

    def server(at: int) -> Role[Any]:
        uploads = yield from checked_sum.heard_uploads(shape, at)
        return (yield from checked_sum.server(shape, at, uploads, tied, family(at, tied), parts[at + 1]))

    def last() -> Role[Any]:
        uploads = yield from checked_sum.heard_uploads(shape, shape.seeded)
        families = [family(at, tied) for at in range(shape.seeded)]
        return (yield from checked_sum.last(shape, uploads, tied, families, parts[0]))

    made |= {LAST: last()} | {f"server{at + 1}": server(at) for at in range(shape.seeded)}
    made["result"] = checked_sum.result(shape)
    return made


def shaped(circuit: Circuit, holders: int, computing: int) -> Shape:
    return Shape(circuit, holders, computing, minimum=2, unproved=Unproved.END)


def vector_of(circuit: Circuit, measurement: Any) -> U64Array:
    """A measurement as the vector that is added up."""
    if isinstance(circuit, Histogram):
        return (np.arange(circuit.length) == measurement).astype(np.uint64)
    return np.atleast_1d(np.array(measurement, np.uint64))


def plain(circuit: Circuit, measurements: Sequence[Any]) -> list[int]:
    if isinstance(circuit, Histogram):
        return np.bincount(measurements, minlength=circuit.length).tolist()
    return np.atleast_1d(np.array(measurements).sum(axis=0)).tolist()


def altered(to: str, label: str, change: Callable[[Array], None]) -> Callable[[Key, Array], Array]:
    """Change one message on its way."""

    def alter(key: Key, array: Array) -> Array:
        if key[1] == to and key[2] == label:
            array = array.copy()
            change(array)
        return array

    return alter


def flipped(place: int) -> Callable[[Array], None]:
    def change(array: Array) -> None:
        flat = array.reshape(-1)
        flat[place] ^= flat.dtype.type(1)

    return change


# -- sums --------------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("computing", [2, 3, 4])
def test_the_sum_is_that_of_all_inputs(circuit: Circuit, measurements: list[Any], computing: int) -> None:
    shape = shaped(circuit, 3, computing)
    for seed in range(3):
        done = play(roles(shape, measurements), seed=seed)
        assert list(done.outputs["result"].total) == plain(circuit, measurements)


@EVERY
def test_noise_of_all_computing_parties_is_added(circuit: Circuit, measurements: list[Any]) -> None:
    shape = shaped(circuit, 3, 3)
    noise = [np.full(circuit.outputs, value, np.int64).view(np.uint64) for value in (-2000, 7, -(2**40))]
    done = play(roles(shape, measurements, noise=noise))
    assert list(done.outputs["result"].total) == [n - 2000 + 7 - 2**40 for n in plain(circuit, measurements)]


@EVERY
def test_final_shares_are_hidden_by_shares_of_zero(circuit: Circuit, measurements: list[Any]) -> None:
    """One share less than all says nothing; zeros add up to zero and are another one in each run."""
    shape = shaped(circuit, 3, 3)
    nothing = circuit.prime.zeros(circuit.outputs)
    families = [family(0), family(1)]
    shares = [final_share(shape, nothing, None, TIED, minus=families)]
    shares += [final_share(shape, nothing, None, TIED, plus=[one]) for one in families]
    assert opened(shape, shares) == (0,) * circuit.outputs
    assert all(share.any() for share in shares)
    again = final_share(shape, nothing, None, OTHER_RUN, plus=[family(0, OTHER_RUN)])
    assert again.tolist() != shares[1].tolist()


def test_a_sum_that_could_wrap_around_has_no_shape() -> None:
    with pytest.raises(InternalError):
        shaped(Sum(2**63 - 1), 2, 2)
    assert shaped(Sum(2**62 - 2**32), 2, 2).greatest == 2**62 - 2**32
    with pytest.raises(InternalError):
        shaped(Sum(2**62 - 2**32), 3, 2)
    for holders, computing in ((1, 2), (2, 1)):
        with pytest.raises(InternalError):
            shaped(Count(), holders, computing)


@EVERY
def test_messages_have_the_sizes_that_the_shape_says(circuit: Circuit, measurements: list[Any]) -> None:
    shape = shaped(circuit, 3, 3)
    done = play(roles(shape, measurements))
    sizes = {key[2]: array.nbytes for key, array in done.sent}
    for number in (1, 2, 3):
        assert sizes[f"Us{number}x1"] == sizes[f"Us{number}x2"] == shape.server_head
        assert sizes[f"Um{number}"] == shape.last_head
        assert sizes[f"Uw{number}"] == 8 * shape.words
    checks = {label for label in sizes if label[0] == "V"}
    assert checks == {"Va1", "Va2", "Vb1", "Vb2", "Vs1x2", "Vs2x1"}
    assert {sizes[label] for label in checks} == {3 * shape.verifier_bytes}
    assert sizes["Fl"] == sizes["Fs1"] == sizes["Fs2"] == 8 * shape.output_words
    assert sizes["Kb1"] == sizes["Kb2"] == 32


# -- whose fault -------------------------------------------------------------------------------------------------------


def refused(
    shape: Shape, measurements: Sequence[Any], alter: Callable[[Key, Array], Array], code: str, *, from_: str = ""
) -> PeerError:
    """The run ends with this refusal, and no final share is sent before it, but by the party that cheats."""
    sent: list[str] = []

    def watched(key: Key, array: Array) -> Array:
        sent.append(key[2])
        return alter(key, array)

    with pytest.raises(PeerError) as caught:
        play(roles(shape, measurements), alter=watched)
    assert caught.value.code == code
    assert {label for label in sent if label[0] == "F"} <= {from_}
    return caught.value


@EVERY
@pytest.mark.parametrize("number", [0, 2])
def test_any_changed_part_names_its_sender(circuit: Circuit, measurements: list[Any], number: int) -> None:
    shape = shaped(circuit, 3, 2)
    name, label = f"input{number + 1}", f"{number + 1}"
    rest = checked_inputs.MARK_BYTES + shape.prio.public_bytes
    places: list[tuple[str, str, int, str]] = [
        ("server1", f"Us{label}x1", rest, "peer.proof"),  # its seed
        ("server1", f"Us{label}x1", shape.server_head - 1, "peer.proof"),
        (LAST, f"Uw{label}", 0, "peer.proof"),  # the measurement
        (LAST, f"Uw{label}", shape.words - circuit.prime.words, "peer.proof"),  # the last element of the proof
    ]
    if circuit.joint:
        places += [("server1", f"Us{label}x1", 16, "peer.proof"), (LAST, f"Um{label}", rest, "peer.proof")]
    for to, message, place, code in places:
        error = refused(shape, measurements, altered(to, message, flipped(place)), code)
        assert error.fields["peer"] == name


@EVERY
@pytest.mark.parametrize(("to", "message"), [("server1", "Us2x1"), (LAST, "Um2")])
def test_a_changed_mark_leaves_its_sender_out(circuit: Circuit, measurements: list[Any], to: str, message: str) -> None:
    done = play(roles(shaped(circuit, 3, 2), measurements), alter=altered(to, message, flipped(15)))
    found = done.outputs["result"]
    assert found.present.tolist() == [True, False, True]
    assert list(found.total) == plain(circuit, [measurements[0], measurements[2]])


@EVERY
def test_every_word_for_last_counts(circuit: Circuit, measurements: list[Any]) -> None:
    shape = shaped(circuit, 2, 2)
    step = circuit.prime.words
    for place in range(0, shape.words, step if shape.words < 100 else 7 * step):
        error = refused(shape, measurements[:2], altered(LAST, "Uw2", flipped(place)), "peer.proof")
        assert error.fields["peer"] == "input2"


@EVERY
@pytest.mark.parametrize("label", ["Va1", "Wa1"])
def test_verifiers_that_two_parties_saw_differently_end_the_run(
    circuit: Circuit, measurements: list[Any], label: str
) -> None:
    """Else they could leave out different input parties."""
    for place in (0, 3 * shaped(circuit, 3, 2).verifier_bytes - 1 if label[0] == "V" else 31):
        refused(shaped(circuit, 3, 2), measurements, altered(LAST, label, flipped(place)), "peer.lists", from_="Fs1")


def test_several_bad_uploads_are_all_named() -> None:
    shape = shaped(Sum(9), 4, 2)

    def alter(key: Key, array: Array) -> Array:
        return array ^ np.uint64(1) if key[2] in ("Uw1", "Uw4") else array

    assert refused(shape, [1, 2, 3, 4], alter, "peer.proof").fields["peer"] == "input1, input4"


@EVERY
def test_numbers_that_are_not_below_the_prime_are_refused(circuit: Circuit, measurements: list[Any]) -> None:
    shape = shaped(circuit, 3, 2)

    def all_ones(array: Array) -> None:
        array.reshape(-1).view(np.uint8)[: circuit.prime.bytes] = 255

    error = refused(shape, measurements, altered(LAST, "Uw2", all_ones), "peer.share-encoding")
    assert error.fields["peer"] == "input2"
    error = refused(shape, measurements, altered("server1", "Vb1", all_ones), "peer.share-encoding")
    assert error.fields["peer"] == LAST
    with pytest.raises(PeerError) as caught:
        play(roles(shape, measurements), alter=altered("result", "Fs1", all_ones))
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.share-encoding", "server1")


# -- replays -----------------------------------------------------------------------------------------------------------


def handed(shape: Shape, party: int, number: int, measurement: Any, tied: Binding) -> tuple[Any, ...]:
    made = split(shape, number, np.array([measurement]), tied, stream(77))
    return (made.servers[party - 1],) if party else (made.last, made.words)


@EVERY
def test_an_upload_of_another_run_specification_circuit_or_party_does_not_verify(
    circuit: Circuit, measurements: list[Any]
) -> None:
    shape = shaped(circuit, 3, 2)
    made: list[tuple[Shape, int, Binding]] = [(shape, 1, OTHER_RUN), (shape, 1, OTHER_SPEC), (shape, 0, TIED)]
    if isinstance(circuit, SumVec):  # the same sizes, another bound: what is valid for the one is not for the other
        made.append((shaped(SumVec(circuit.length, circuit.chunk, 15), 3, 2), 1, TIED))
    for theirs, number, tied in made:
        old = {party: handed(theirs, party, number, measurements[1], tied) for party in (0, 1)}

        def replay(key: Key, array: Array, old: dict[int, tuple[Any, ...]] = old) -> Array:
            return {"Um2": old[0][0], "Uw2": old[0][1], "Us2x1": old[1][0]}.get(key[2], array)

        assert refused(shape, measurements, replay, "peer.proof").fields["peer"] == "input2"


def test_the_same_upload_in_its_own_place_verifies() -> None:
    """What the test above replays is right where it belongs."""
    for circuit, measurements in CASES:
        shape = shaped(circuit, 3, 2)
        old = {party: handed(shape, party, 1, measurements[1], TIED) for party in (0, 1)}

        def replay(key: Key, array: Array, old: dict[int, tuple[Any, ...]] = old) -> Array:
            return {"Um2": old[0][0], "Uw2": old[0][1], "Us2x1": old[1][0]}.get(key[2], array)

        done = play(roles(shape, measurements), alter=replay)
        assert list(done.outputs["result"].total) == plain(circuit, measurements)


def test_contexts_tell_everything_apart() -> None:
    shapes = [shaped(circuit, 3, 2) for circuit, _ in CASES]
    shapes += [shaped(Count(), 3, 3), shaped(Sum(1338), 3, 2), shaped(Histogram(6, 3), 3, 2)]
    every = {
        context(shape, tied, number)
        for shape in shapes
        for tied in (TIED, OTHER_RUN, OTHER_SPEC)
        for number in range(3)
    }
    assert len(every) == len(shapes) * 3 * 3


def test_keys_of_two_runs_differ_and_parties_of_one_have_the_same() -> None:
    first, again, other = (verify_key(family(0, tied)).expose("test") for tied in (TIED, TIED, OTHER_RUN))
    assert first == again
    assert len(first) == 32
    assert first != other
    assert first[:16] != first[16:]


def test_a_key_does_not_verify_two_sets_of_uploads() -> None:
    """Uploads are dropped when they are verified, and a label of a family serves one purpose."""
    shape = shaped(Count(), 2, 2)
    uploads = Uploads(shape, 1)
    for number in range(2):
        uploads.keep(number, *handed(shape, 1, number, 1, TIED)[:1] if number else (split_head(shape),))
    everybody = np.ones(2, np.bool_)
    next(verified(uploads, everybody, TIED, Secret(bytes(32))))
    with pytest.raises(InternalError):
        next(verified(uploads, everybody, TIED, Secret(bytes(32))))


def split_head(shape: Shape) -> Array:
    return split(shape, 0, np.array([1]), TIED, stream(5)).servers[0]


def test_a_second_upload_or_mark_is_refused() -> None:
    shape = shaped(Sum(9), 3, 2)
    uploads = Uploads(shape, 1)
    head = split_head(shape)
    uploads.keep(0, head)
    with pytest.raises(PeerError) as caught:
        uploads.keep(0, split(shape, 0, np.array([1]), TIED, stream(6)).servers[0])
    assert caught.value.code == "peer.repeated"
    with pytest.raises(PeerError) as caught:
        uploads.keep(1, head)  # the nonce of another one
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.mark", "input2")
    unmarked = split(shape, 2, np.array([1]), TIED, stream(7)).servers[0]
    unmarked[:, :16] = 0
    with pytest.raises(PeerError) as caught:
        uploads.keep(2, unmarked)
    assert caught.value.code == "peer.mark"
    assert repr(uploads) == "Uploads(1 of 3)"


@EVERY
def test_parts_of_another_size_are_refused(circuit: Circuit, measurements: list[Any]) -> None:
    """Truncated, longer, and with one proof more or less than there must be."""
    shape, element = shaped(circuit, 3, 2), circuit.prime.words
    made = split(shape, 0, np.array([measurements[0]]), TIED, stream(1))
    proof = element * circuit.proof
    wrong: list[tuple[int, Array, Array | None]] = [
        (1, made.servers[0][:, :-1], None),
        (1, np.concatenate([made.servers[0], made.servers[0][:, :1]], axis=1), None),
        (1, made.servers[0], made.words),
        (0, made.last, None),
        (0, made.last[:, :-1], made.words),
        (0, made.last, made.words[:-1]),
        (0, made.last, made.words[:-element]),
        (0, made.last, made.words[:-proof]),
        (0, made.last, np.concatenate([made.words, made.words[:element]])),
        (0, made.last, np.concatenate([made.words, made.words[-proof:]])),
        (0, made.last, made.words[:0]),
    ]
    for party, head, words in wrong:
        with pytest.raises(PeerError) as caught:
            Uploads(shape, party).keep(0, head, words)
        assert (caught.value.code, caught.value.fields["peer"]) == ("peer.bad-length", "input1")


def test_a_test_point_that_is_a_node_ends_the_run_without_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    real = checked_inputs.prio3.flp.query

    def unlucky(*given: Any) -> Any:
        verifiers, bad = real(*given)
        bad[0] = 1
        return verifiers, bad

    monkeypatch.setattr(checked_inputs.prio3.flp, "query", unlucky)
    with pytest.raises(RunError) as caught:
        play(roles(shaped(Sum(9), 2, 2), [1, 2]))
    assert caught.value.code == "run.test-point"


def test_who_does_not_count_is_zeros_in_every_message() -> None:
    shape = shaped(Sum(9), 4, 2)
    present = np.array([True, False, True, False])

    def party(number: int) -> Role[U64Array]:
        uploads = Uploads(shape, number)
        for i in (0, 2):
            uploads.keep(i, *parts_of(shape, number, i))
        found = yield from verified(uploads, present, TIED, Secret(bytes(32)))
        assert found.valid.tolist() == present.tolist()
        return found.outputs

    done = play({LAST: party(0), "server1": party(1)})
    for key, array in done.sent:
        if key[2][0] == "W":
            continue
        assert array.shape == (4, shape.verifier_bytes)
        assert not array[[1, 3]].any()
        assert array[[0, 2]].any(axis=1).all()
    assert shape.prio.unshard([done.outputs[LAST], done.outputs["server1"]]) == [0 + 2]
    with pytest.raises(InternalError):
        next(verified(Uploads(shape, 0), present, TIED, Secret(bytes(32))))
    with pytest.raises(InternalError):
        next(verified(Uploads(shape, 0), ~np.ones(4, np.bool_), TIED, Secret(bytes(32))))


def parts_of(shape: Shape, party: int, number: int) -> tuple[Any, ...]:
    made = split(shape, number, np.array([number]), TIED, stream(number))
    return (made.servers[party - 1],) if party else (made.last, made.words)


def test_a_measurement_out_of_its_range_is_not_split() -> None:
    for circuit, bad in ((Count(), 2), (Sum(9), 10), (SumVec(2, 2, 9), [0, 10]), (Histogram(3, 2), 3)):
        with pytest.raises(ValueError, match="range"):
            split(shaped(circuit, 2, 2), 0, np.array([bad]), TIED, stream(0))


def test_nothing_that_is_secret_prints() -> None:
    shape = shaped(Count(), 2, 2)
    assert repr(split(shape, 0, np.array([1]), TIED, stream(0))) == "Split(***)"
