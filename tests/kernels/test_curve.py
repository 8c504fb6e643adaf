"""ristretto255 by each provider: the vectors of the RFCs, bad encodings, edges, the integers of tests/oracles."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from pets.errors import InternalError, PeerError
from pets.kernels import curve
from pets.secret import Secret
from tests.oracles import ristretto

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "ristretto255.json").read_text())
BASE = bytes.fromhex(VECTORS["multiples"][1])
TAG = b"pets/1-dhpsi-" + bytes(32)
OPRF_TAG = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"

U8 = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def chosen_before() -> Iterator[None]:
    before = curve.selected()
    yield
    curve.select(before)


@pytest.fixture(params=curve.features())
def provider(request: pytest.FixtureRequest) -> str:
    """Run a test once for each provider that this processor has."""
    curve.select(request.param)
    return str(request.param)


def rows(encodings: list[bytes]) -> U8:
    return np.frombuffer(b"".join(encodings), np.uint8).reshape(len(encodings), -1)


def scalar(value: int) -> Secret[bytes]:
    return Secret(value.to_bytes(32, "little"))


def some_elements(count: int, seed: int) -> U8:
    return curve.hash_to_group([b"%d/%d" % (seed, i) for i in range(count)], tag=TAG)


# -- vectors of the RFCs -----------------------------------------------------------------------------------------------


def test_every_entry_of_the_vectors_is_counted() -> None:
    header = VECTORS["header"]
    assert sum(len(entries) for name, entries in VECTORS.items() if name != "header") == header["entries"]
    assert header["entries"] - len(VECTORS["refused"]) == header["valid"]


@pytest.mark.usefixtures("provider")
def test_multiples_of_the_generator_rfc_9496_a1() -> None:
    for factor, expected in enumerate(VECTORS["multiples"][1:], start=1):
        assert curve.multiply(rows([BASE]), scalar(factor)).tobytes().hex() == expected
        assert ristretto.decode(BASE).times(factor).encode().hex() == expected  # type: ignore[union-attr]


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("encoding", VECTORS["refused"])
def test_encodings_that_rfc_9496_a2_refuses(encoding: str) -> None:
    assert ristretto.decode(bytes.fromhex(encoding)) is None
    with pytest.raises(PeerError, match="place 1 ") as caught:
        curve.multiply(rows([BASE, bytes.fromhex(encoding), BASE]), scalar(5))
    assert caught.value.code == "peer.element"
    assert encoding[:16] not in str(caught.value)


@pytest.mark.usefixtures("provider")
def test_one_way_map_rfc_9496_a3() -> None:
    uniform = rows([bytes.fromhex(entry["uniform"]) for entry in VECTORS["uniform"]])
    found = curve._mapped(uniform)
    assert [row.tobytes().hex() for row in found] == [entry["element"] for entry in VECTORS["uniform"]]


def test_roots_of_the_oracle_rfc_9496_a4() -> None:
    for entry in VECTORS["roots"]:
        root = int.from_bytes(bytes.fromhex(entry["root"]), "little")
        assert ristretto.sqrt_ratio(entry["u"], entry["v"]) == (entry["square"], root)


def test_expanded_messages_rfc_9380_k3() -> None:
    for entry in VECTORS["expanded"]:
        found = curve._expanded([entry["message"].encode()], entry["tag"].encode(), 32)
        assert found.tobytes().hex() == entry["uniform"]


@pytest.mark.usefixtures("provider")
def test_blinded_and_evaluated_elements_rfc_9497_a1() -> None:
    for entry in VECTORS["blinded"]:
        hashed = curve.hash_to_group([bytes.fromhex(entry["input"])], tag=OPRF_TAG)
        blinded = curve.multiply(hashed, Secret(bytes.fromhex(entry["blind"])))
        assert blinded.tobytes().hex() == entry["blinded"]
        assert curve.multiply(blinded, Secret(bytes.fromhex(entry["key"]))).tobytes().hex() == entry["evaluated"]


# -- refusals ----------------------------------------------------------------------------------------------------------


def refused_encodings() -> dict[str, bytes]:
    """What a peer may send in the place of an element, in the manner of Wycheproof's lists for other curves."""
    p, good = ristretto.P, int.from_bytes(BASE, "little")
    small_orders = [0, 1, p - 1, ristretto.SQRT_M1, p - ristretto.SQRT_M1]  # y of points of order 1, 2 and 4
    y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7  # and of order 8
    numbers = {
        "the identity": 0,
        "p, which is 0": p,
        "the generator, negated": p - good,
        "the generator with its sign bit": good + 2**255,
        "the generator with both": 2**255 + p - good,
        "2^255 - 1": 2**255 - 1,
        "2^256 - 1": 2**256 - 1,
        "2^255": 2**255,
        "p - 1": p - 1,
        "p + 1": p + 1,
        "2p - 1": 2 * p - 1,
        "2p": 2 * p,
        "2p + 1": 2 * p + 1,
        "the base point of Ed25519": 4 * pow(5, -1, p) % p,
        "the base point of X25519": 9,
        "a low-order point of X25519": 0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
        "another": 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    }
    numbers |= {f"order {i}": y for i, y in enumerate([*small_orders, y8, p - y8])}
    numbers |= {f"order {i}, signed": y + 2**255 for i, y in enumerate([*small_orders, y8, p - y8])}
    numbers |= {f"p + {i}": p + i for i in range(2, 19)}
    encodings = {name: number.to_bytes(32, "little") for name, number in numbers.items()}
    return {name: e for name, e in encodings.items() if ristretto.decode(e) is None or not any(e)}


@pytest.mark.usefixtures("provider")
def test_bad_encodings_are_refused() -> None:
    bad = refused_encodings()
    assert len(bad) >= 45
    for name, encoding in bad.items():
        with pytest.raises(PeerError) as caught:
            curve.multiply(rows([BASE] * 9 + [encoding] + [BASE] * 2), scalar(3))
        assert caught.value.fields["place"] == 9, name


@pytest.mark.usefixtures("provider")
def test_the_first_of_several_bad_elements_is_named() -> None:
    good = some_elements(1000, 1)
    for places in ([0], [7], [8], [999], [3, 500], [63, 64, 65], list(range(1000))):
        points = good.copy()
        points[places] = 0
        with pytest.raises(PeerError) as caught:
            curve.multiply(points, scalar(3))
        assert caught.value.fields["place"] == places[0]


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("value", [0, ristretto.ORDER, ristretto.ORDER + 1, 2**252 * 2, 2**255, 2**256 - 1])
def test_scalars_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(InternalError) as caught:
        curve.multiply(rows([BASE]), scalar(value))
    assert caught.value.code == "internal.scalar"


def test_a_scalar_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        curve.multiply(rows([BASE]), Secret(b"\1" * 31))
    with pytest.raises(ValueError, match="64 bytes"):
        curve.new_scalar(Secret(bytes(32)))


@pytest.mark.parametrize("shape", [(4, 31), (4, 33), (128,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="array of uint8"):
        curve.multiply(np.ones(shape, np.uint8), scalar(3))
    with pytest.raises(ValueError, match="array of uint8"):
        curve.multiply(np.ones((4, 32), np.uint64), scalar(3))


@pytest.mark.parametrize("tag", [b"", bytes(256)])
def test_tags_of_the_hash_have_a_length(tag: bytes) -> None:
    with pytest.raises(ValueError, match="tag"):
        curve.hash_to_group([b"x"], tag=tag)


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("half", [0, 1, 5, 2**200])
def test_a_hash_that_is_the_identity_is_refused(half: int) -> None:
    """The map takes t and sqrt(-1) / t to an element and its negative, and 0 to the identity."""
    other = ristretto.SQRT_M1 * pow(half, -1, ristretto.P) % ristretto.P if half else 0
    uniform = half.to_bytes(32, "little") + other.to_bytes(32, "little")
    assert not any(ristretto.from_uniform(uniform).encode())
    with pytest.raises(InternalError):
        curve._mapped(rows([bytes(range(64)), uniform]))


# -- scalars -----------------------------------------------------------------------------------------------------------


def test_a_new_scalar_is_its_entropy_modulo_the_order() -> None:
    rng = np.random.default_rng(3)
    for entropy in [rng.bytes(64) for _ in range(50)] + [b"\xff" * 64, (1).to_bytes(64, "little")]:
        expected = int.from_bytes(entropy, "little") % ristretto.ORDER
        found = curve.new_scalar(Secret(entropy))
        assert isinstance(found, Secret)
        assert int.from_bytes(found.expose("test"), "little") == expected


@pytest.mark.parametrize("multiple", [0, 1, 2**259])
def test_entropy_that_makes_zero_is_refused(multiple: int) -> None:
    with pytest.raises(InternalError):
        curve.new_scalar(Secret((multiple * ristretto.ORDER).to_bytes(64, "little")))


# -- equal to integers -------------------------------------------------------------------------------------------------

EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 255, 2**251, 2**252 - 1, 2**252, 2**252 + 1]
EDGES += [ristretto.ORDER - i for i in (1, 2, 8, 16)] + [(ristretto.ORDER + 1) // 2, ristretto.ORDER // 2]
EDGES += [int(d * 63, 16) for d in "123456789abcdef" if int(d * 63, 16) < ristretto.ORDER]


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("factor", EDGES)
def test_edge_scalars_equal_integers(factor: int) -> None:
    points = rows([BASE, *(row.tobytes() for row in some_elements(2, 4))])
    expected = [ristretto.decode(p.tobytes()).times(factor).encode() for p in points]  # type: ignore[union-attr]
    assert [row.tobytes() for row in curve.multiply(points, scalar(factor))] == expected


@pytest.mark.usefixtures("provider")
def test_one_keeps_and_its_negative_negates() -> None:
    points = some_elements(20, 5)
    assert np.array_equal(curve.multiply(points, scalar(1)), points)
    back = curve.multiply(curve.multiply(points, scalar(ristretto.ORDER - 1)), scalar(ristretto.ORDER - 1))
    assert np.array_equal(back, points)


@pytest.mark.usefixtures("provider")
def test_scalars_commute() -> None:
    points = some_elements(33, 6)
    a, b = (curve.new_scalar(Secret(bytes([i]) * 64)) for i in (1, 2))
    assert np.array_equal(curve.multiply(curve.multiply(points, a), b), curve.multiply(curve.multiply(points, b), a))


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 1000])
def test_batches_of_any_size_equal_single_ones(count: int) -> None:
    strings = [b"%d" % i for i in range(count)]
    points = curve.hash_to_group(strings, tag=TAG)
    assert points.shape == (count, 32)
    factor = curve.new_scalar(Secret(b"\7" * 64))
    found = curve.multiply(points, factor)
    assert found.shape == (count, 32)
    for i in range(0, count, max(1, count // 20)):
        assert np.array_equal(points[i : i + 1], curve.hash_to_group(strings[i : i + 1], tag=TAG))
        assert np.array_equal(found[i : i + 1], curve.multiply(points[i : i + 1], factor))


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 17, 300])
def test_products_with_a_scalar_each_equal_single_ones(count: int) -> None:
    points = some_elements(count, 8)
    edges = [scalar(value) for value in (1, 2, 8, 2**252, ristretto.ORDER - 1, 2**252 + 2**64 - 1)]
    drawn = [curve.new_scalar(Secret(b"scalar %d" % i + bytes(64 - len(b"scalar %d" % i)))) for i in range(count)]
    scalars = (edges + drawn)[:count]
    found = curve.multiply_each(points, scalars)
    assert found.shape == (count, 32)
    for i, each in enumerate(scalars):
        assert np.array_equal(found[i : i + 1], curve.multiply(points[i : i + 1], each))


@pytest.mark.usefixtures("provider")
def test_products_with_a_scalar_each_refuse_what_others_do() -> None:
    points, scalars = some_elements(20, 9), [scalar(3)] * 20
    for place in (0, 9, 19):
        refused = points.copy()
        refused[place] = 255
        with pytest.raises(PeerError) as caught:
            curve.multiply_each(refused, scalars, label="D1")
        assert (caught.value.code, caught.value.fields) == ("peer.element", {"label": "D1", "place": place})
        for value in (0, ristretto.ORDER, ristretto.ORDER + 1, ristretto.ORDER + 2**64, 2**253, 2**256 - 1):
            with pytest.raises(InternalError) as ours:
                curve.multiply_each(points, [*scalars[:place], scalar(value), *scalars[place + 1 :]])
            assert ours.value.code == "internal.scalar"
    with pytest.raises(ValueError, match="each element has a scalar"):
        curve.multiply_each(points, scalars[:-1])
    with pytest.raises(ValueError, match="array of uint8"):
        curve.multiply_each(points.astype(np.uint64), scalars)


@pytest.mark.usefixtures("provider")
def test_views_and_read_only_arrays_are_taken() -> None:
    points = some_elements(40, 7)
    expected = curve.multiply(points, scalar(5))
    points.flags.writeable = False
    assert np.array_equal(curve.multiply(points[::2], scalar(5)), expected[::2])
    assert np.array_equal(curve.multiply(points, scalar(5)), expected)


@pytest.mark.usefixtures("provider")
def test_hashes_differ_by_tag_and_string() -> None:
    found = {curve.hash_to_group([s], tag=t).tobytes() for s in (b"", b"a", b"aa") for t in (b"t", b"ta", b"a")}
    assert len(found) == 9


@pytest.mark.usefixtures("provider")
def test_edge_field_elements_map_as_integers_do() -> None:
    edges = [
        0,
        1,
        2,
        18,
        19,
        20,
        2**51 - 1,
        2**51,
        2**204,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
        2**255 - 1,
        2**256 - 1,
    ]
    edges += [ristretto.P - 2, (ristretto.P - 1) // 2, ristretto.SQRT_M1, ristretto.P - ristretto.SQRT_M1]
    uniform = [x.to_bytes(32, "little") + y.to_bytes(32, "little") for x in edges for y in edges[::3]]
    uniform = [u for u in uniform if any(ristretto.from_uniform(u).encode())]
    assert len(uniform) > 100
    found = curve._mapped(rows(uniform))
    assert [row.tobytes() for row in found] == [ristretto.from_uniform(u).encode() for u in uniform]


@pytest.mark.usefixtures("provider")
def test_strings_that_may_be_elements_are_judged_as_integers_judge_them() -> None:
    rng = np.random.default_rng(8)
    tried = rng.integers(0, 256, (200, 32), dtype=np.uint8)
    tried[:, 31] &= 0x7F
    tried[:, 0] &= 0xFE
    good = [row for row in tried if ristretto.decode(row.tobytes()) is not None]
    assert 20 < len(good) < 80  # a quarter: half are no squares, half of the others have a negative t
    curve.multiply(np.array(good), scalar(3))
    for place, row in enumerate(tried):
        if ristretto.decode(row.tobytes()) is None:
            with pytest.raises(PeerError):
                curve.multiply(tried[place : place + 1], scalar(3))


# -- equal to libsodium ------------------------------------------------------------------------------------------------


def both_ways(points: U8, factor: Secret[bytes]) -> tuple[U8, U8]:
    found = []
    for name in (curve.features()[0], curve.LIBSODIUM):
        curve.select(name)
        found.append(curve.multiply(points, factor))
    return found[0], found[1]


def require_equal_bytes(count: int, scalars: int) -> None:
    strings = [b"%d" % i for i in range(count)]
    hashed = []
    for name in (curve.features()[0], curve.LIBSODIUM):
        curve.select(name)
        hashed.append(curve.hash_to_group(strings, tag=b"equal %d" % count))
    assert np.array_equal(*hashed)
    part = -(-count // scalars)
    for i in range(scalars):
        factor = curve.new_scalar(Secret((b"scalar %d" % i).ljust(64, b"\5")))
        assert np.array_equal(*both_ways(hashed[0][i * part : (i + 1) * part], factor))


def test_ten_thousand_elements_equal_libsodium_s() -> None:
    require_equal_bytes(10_000, 100)


@pytest.mark.long
def test_three_hundred_thousand_elements_equal_libsodium_s() -> None:
    require_equal_bytes(300_000, 3_000)


def test_random_strings_are_refused_by_both_or_by_none() -> None:
    rng = np.random.default_rng(9)
    tried = rng.integers(0, 256, (2000, 32), dtype=np.uint8)
    tried[:, 31] &= 0x7F
    tried[::2, 0] &= 0xFE
    tried[: len(VECTORS["refused"])] = rows([bytes.fromhex(encoding) for encoding in VECTORS["refused"]])
    factor = np.frombuffer(scalar(7).expose("test"), np.uint8)
    refused = []
    for name in curve.features():
        judged = curve._PROVIDERS[name].multiply
        out = np.empty((1, 32), np.uint8)
        refused.append([judged(row.reshape(1, 32), factor, out) for row in tried])
    assert all(found == refused[0] for found in refused)
    assert 100 < sum(refused[0]) < 400


def others_run_meanwhile(work: Callable[[], object]) -> bool:
    """Whether this thread gets on while another one is inside `work`, asked often enough to be no accident."""
    done = threading.Event()
    interval = sys.getswitchinterval()
    counted = 0
    sys.setswitchinterval(100)  # no thread is made to give up the lock
    try:
        thread = threading.Thread(target=lambda: (work(), done.set()))
        thread.start()
        while not done.wait(0.0005):
            counted += 1
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    return counted > 2


@pytest.mark.usefixtures("provider")
def test_batches_give_up_the_interpreter_lock() -> None:
    uniform = np.random.default_rng(1).integers(0, 256, (10_000, 64), dtype=np.uint8)
    assert others_run_meanwhile(lambda: curve._mapped(uniform))
    points, factor = curve._mapped(uniform[:3000]), scalar(2**251)
    assert others_run_meanwhile(lambda: curve.multiply(points, factor))


# -- the choice of a provider ------------------------------------------------------------------------------------------


def test_libsodium_is_what_a_process_starts_with() -> None:
    code = "from pets.kernels import curve; print(curve.selected())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "libsodium\n"


@pytest.mark.parametrize("name", curve.features())
def test_self_test_passes(name: str) -> None:
    curve.self_test(name)


@pytest.mark.parametrize("part", ["from_uniform", "multiply", "multiply_each", "combined"])
def test_self_test_notices_a_wrong_lane(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of one element in nine is wrong."""
    name = curve.features()[0]
    right = getattr(curve._PROVIDERS[name], part)

    def wrong(*arguments: U8, **more: bool) -> int:
        place = right(*arguments, **more)
        arguments[-1][8::9, 3] ^= 1
        return int(place)

    monkeypatch.setattr(curve._PROVIDERS[name], part, wrong)
    with pytest.raises(RuntimeError, match=f"provider {name}"):
        curve.self_test(name)


@pytest.mark.parametrize("part", ["multiply", "multiply_each"])
@pytest.mark.parametrize("encoding", curve._REFUSED)
def test_self_test_notices_what_is_not_refused(encoding: bytes, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = curve.features()[0]
    right = getattr(curve._PROVIDERS[name], part)
    assert ristretto.decode(encoding) is None or not any(encoding)

    def wrong(points: U8, factor: U8, out: U8) -> int:
        place = right(points, factor, out)
        return len(points) if any(row.tobytes() == encoding for row in points) else int(place)

    monkeypatch.setattr(curve._PROVIDERS[name], part, wrong)
    with pytest.raises(RuntimeError, match="encodes no element"):
        curve.self_test(name)


def test_a_provider_that_the_processor_lacks_cannot_be_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    host = {"avx512f": True, "avx512ifma": False}
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: host)
    assert curve.features() == (curve.LIBSODIUM,)
    with pytest.raises(ValueError, match="no provider ifma"):
        curve.select(curve.IFMA)
    host["avx512ifma"] = True
    assert curve.features() == (curve.IFMA, curve.LIBSODIUM)


@pytest.mark.parametrize("setting", ["CPU_NAME", "CPU_FEATURES", "DISABLE_JIT"])
def test_a_target_given_by_hand_means_libsodium(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, setting, "x86-64" if setting != "DISABLE_JIT" else 1)
    assert curve.features() == (curve.LIBSODIUM,)


# -- sums of a few -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("provider")
def test_sums_and_differences_are_those_of_the_slow_group() -> None:
    points = curve.hash_to_group([b"%d" % number for number in range(6)], tag=b"sums")
    added, back = curve.add(points[:3], points[3:]), curve.subtract(curve.add(points[:3], points[3:]), points[3:])
    for first, second, total in zip(points[:3], points[3:], added, strict=True):
        one, other = ristretto.decode(first.tobytes()), ristretto.decode(second.tobytes())
        assert one is not None and other is not None
        assert (one + other).encode() == total.tobytes()
    assert np.array_equal(back, points[:3])
    assert not curve.subtract(points, points).any()
    assert np.array_equal(curve.add(points, np.zeros_like(points)), points)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 400])
def test_sums_of_many_equal_libsodium_s(count: int) -> None:
    """Of others, of one and the same, of one and its negative, of the identity."""
    points = some_elements(count, 10)
    negative = curve.subtract(np.zeros_like(points), points)
    others = np.roll(points, 1, axis=0)
    others[1::5], others[2::5], others[3::5] = points[1::5], negative[2::5], 0
    for combine in (curve.add, curve.subtract):
        found = []
        for name in curve.features():
            curve.select(name)
            found.append(combine(points, others))
        curve.select(curve.features()[0])
        assert all(np.array_equal(found[0], other) for other in found)
    with pytest.raises(ValueError, match="as many"):
        curve.add(points, np.zeros((count + 1, 32), np.uint8))


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("name", [name for name in refused_encodings() if "identity" not in name and name != "order 0"])
@pytest.mark.parametrize("which", [0, 1])
def test_sums_of_what_encodes_no_element_are_refused(name: str, which: int) -> None:
    points = curve.hash_to_group([b"%d" % number for number in range(6)], tag=b"sums").reshape(2, 3, 32)
    points = points.copy()
    points[which, 1] = np.frombuffer(refused_encodings()[name], np.uint8)
    for combine in (curve.add, curve.subtract):
        with pytest.raises(PeerError) as caught:
            combine(points[0], points[1], label="V")
        assert caught.value.fields == {"place": 1, "label": "V"}
