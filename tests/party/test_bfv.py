"""Computing with ciphertexts in a process apart: the same as BFV over Python's integers, and within its limits."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pets.errors import PeerError, RunError
from pets.kernels import slots
from pets.party.bfv import Worker, memory_for
from pets.party.confine import LIMITS, NO_NETWORK
from pets.protocols.base import Array
from tests.oracles import bfv
from tests.oracles.play import Key, play
from tests.oracles.psi_sum import Case, random_case, roles

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(8)


def new_worker(*, memory: int = memory_for(columns=4, cells=9), cpu_s: int = 100, timeout_s: float = 60) -> Worker:
    return Worker(memory=memory, cpu_s=cpu_s, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Worker, Worker]]:
    """One for each side."""
    with new_worker() as one, new_worker() as other:
        yield one, other


def made_up(rows: int) -> Array:
    out = RNG.integers(0, 2**39, (rows, slots.RING)).astype(np.uint64)
    out[:, 0] = 1
    return out


# -- the same numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.long)])
def test_sums_are_those_over_integers_and_their_noise_is_within_its_bound(
    workers: tuple[Worker, Worker], number: int
) -> None:
    """Keys and ciphertexts that this test made, added up by SEAL, opened by this test: orders, rounding agree."""
    owner, plain = bfv.Owner(1), slots.PLAIN[number]
    key, filled = owner.new_key(number), made_up(2)
    masks = RNG.integers(0, 2, (2, 1, slots.RING)).astype(np.uint8)
    masks[:, :, 0] = 1
    for cipher, mask in zip(owner.encrypt(number, filled), masks, strict=True):
        workers[0].block(number, cipher[None], mask)
    cover = made_up(1)
    (made,) = workers[0].sums(number, key, iter(cover))
    expected = ((filled * masks[:, 0]).sum(axis=0) + cover[0]) % np.uint64(plain)
    assert np.array_equal(owner.decrypt(number, made), expected)
    noise = max(abs(owner.noise(number, made)))
    assert 2**45 < noise <= slots.worst_noise(2) < 2**58
    drowned = slots.drown(made, slots.prf.Stream(slots.prf.Secret(bytes(16))))
    assert np.array_equal(owner.decrypt(number, drowned), expected)


def test_what_seal_encrypts_this_test_cannot_tell_from_its_own(workers: tuple[Worker, Worker]) -> None:
    """SEAL opens what it encrypts, also after this test has added one ciphertext to another."""
    owner, filled = workers[1], made_up(2)
    owner.new_key(0)
    ciphers = owner.encrypt(0, filled)
    assert [np.array_equal(owner.decrypt(0, each), row) for each, row in zip(ciphers, filled, strict=True)] == [
        True
    ] * 2
    primes = np.array(slots.PRIMES * 2, np.uint64).repeat(slots.RING)
    added = (ciphers[0] + ciphers[1]) % primes
    assert np.array_equal(owner.decrypt(0, added), filled.sum(axis=0) % np.uint64(slots.PLAIN[0]))
    assert not np.array_equal(*owner.encrypt(0, filled[[0, 0]]))


def test_a_fresh_ciphertext_has_the_noise_that_the_bound_counts_on(workers: tuple[Worker, Worker]) -> None:
    """An encryption of nothing, too: SEAL divides its noise by the special prime."""
    owner = bfv.Owner(2)
    key = owner.new_key(0)
    zeros = np.zeros((1, slots.RING), np.uint64)
    one = zeros.astype(np.uint8)
    one[0, 0] = 1
    workers[0].block(0, owner.encrypt(0, zeros), one)
    (made,) = workers[0].sums(0, key, iter(zeros))
    product = bfv.times(bfv.encode(one[0], slots.PLAIN[0]), owner.errors[0])
    left = max(abs(bfv.centred(owner.noise(0, made) - product, bfv.Q)))
    assert 0 < left <= (slots.RING + 1) // 2 + 2 and left < 300


ERRORS = """
import numpy as np
from pets.kernels import he, slots
from pets.party.bfv_worker import Memory
from tests.oracles import bfv
seal, owner, filled = he.KeyOwner(Memory()), bfv.Owner(1), np.ones((4, slots.RING), np.uint64)
key = seal.new_key(0).astype(object).reshape(2, 4, slots.RING)
held = seal._secrets[0].data()
prime, natural = slots.PRIMES[0], bfv.reversed_bits()
at_powers = np.array([held.dyn_array().at(i) for i in range(slots.RING)], object)[natural]
owner.secret = bfv.centred(bfv.polynomial(at_powers, prime), prime)
print(*sorted(set(owner.secret)))
error = bfv.polynomial((key[0, 0] + key[1, 0] * at_powers[natural])[natural] % prime, prime)
print(max(abs(bfv.centred(error, prime))))
print(max(max(abs(owner.noise_times_plain(0, each))) for each in seal.encrypt(0, filled)) / slots.PLAIN[0])
"""


def test_errors_that_seal_draws_are_never_larger_than_the_bound_on_noise_takes_them_for() -> None:
    """With SEAL's own secret key: its coefficients are -1, 0, 1; errors of public key and ciphertexts below 22."""
    done = subprocess.run([sys.executable, "-c", ERRORS], cwd=ROOT, capture_output=True, text=True, check=True)
    secret, of_key, of_ciphers = done.stdout.splitlines()
    assert secret == "-1 0 1"
    assert 9 < int(of_key) <= slots.FRESH and 9 < float(of_ciphers) <= slots.FRESH + 0.5


@pytest.mark.parametrize("seed", [6, 15])
def test_whole_runs(workers: tuple[Worker, Worker], seed: int) -> None:
    case = random_case(seed)
    assert case.v
    ran = play(roles(case, seed, owner=workers[0], summer=workers[1]), seed=seed)
    assert ran.outputs["a"] == case.oracle()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2000, 2200))
def test_two_hundred_whole_runs(workers: tuple[Worker, Worker], seed: int) -> None:
    case = random_case(seed)
    ran = play(roles(case, seed, shares=True, owner=workers[0], summer=workers[1]), seed=seed)
    assert ran.outputs["result"] == case.oracle(shares=True)


SMALL = Case({b"1": 0, b"2": 0, b"3": 0}, {b"1": (5,), b"3": (7,), b"4": (1,)}, 1, 1, 3, 3, 1)


@pytest.mark.parametrize("label", ["K", "Y", "S"])
def test_a_flipped_bit_in_a_ciphertext_or_key_is_an_error(workers: tuple[Worker, Worker], label: str) -> None:
    """Any bit: nothing is decrypted to another number. (One in 2^40 could be, of those in a second polynomial.)"""
    codes = set()
    for _ in range(4):

        def alter(key: Key, array: Array) -> Array:
            out = array.copy()
            if key[2] == label:
                out[RNG.integers(out.size)] ^= np.uint64(1 << int(RNG.integers(64)))
            return out

        with pytest.raises(PeerError) as caught:
            play(roles(SMALL, owner=workers[0], summer=workers[1]), alter=alter)
        codes.add(caught.value.code)
    assert codes <= {"peer.residue", "peer.sum"}


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_worker_says_what_it_has_given_up(workers: tuple[Worker, Worker]) -> None:
    assert LIMITS in workers[0].in_force
    if sys.platform == "linux":
        assert NO_NETWORK in workers[0].in_force


INSIDE = """
import ctypes, fcntl, os, platform, resource, socket, subprocess, sys
from pets.party.confine import confine
system = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": (234, 29, 298), "aarch64": (131, 194, 241)}[platform.machine()]
def called(*asked):
    if system.syscall(*asked) < 0:
        raise OSError(ctypes.get_errno(), "refused")
kept = open(sys.argv[1], "rb")
found = confine(memory=1 << 29, cpu_s=20)
def refused(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "allowed"
acts = {
    "socket": lambda: socket.socket(),
    "program": lambda: subprocess.run(["/bin/true"]),
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "tgkill": lambda: called(number[0], os.getppid(), os.getppid(), 0),
    "signal of a pipe": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()),
    "number of that signal": lambda: fcntl.fcntl(0, 10, 9),
    "pipe of another": lambda: fcntl.ioctl(0, 0x8901, os.getppid().to_bytes(4, "little")),
    "shared": lambda: called(number[1], 0, 4096, 0o1600),
    "samples": lambda: called(number[2], bytes([1] + 3 * [0] + [112] + 107 * [0]), os.getppid(), -1, -1, 0),
    "limits": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 5),
    "affinity": lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid())),
    "truncate": lambda: os.truncate(kept.name, 0),
    "chmod": lambda: os.chmod(kept.name, 0o644),
    "fchmod": lambda: os.chmod(kept.fileno(), 0o644),
    "chown": lambda: os.chown(kept.name, os.getuid(), os.getgid()),
    "times": lambda: os.utime(kept.name, (0, 0)),
    "attribute": lambda: os.setxattr(kept.name, "user.pets", b"1"),
    "file": lambda: open("/etc/hostname"),
    "write": lambda: open("/tmp/psisum_written", "w"),
    "memory": lambda: bytearray(1 << 30),
    "randomness": lambda: open("/dev/urandom", "rb").read(8),
    "flags of a pipe": lambda: fcntl.fcntl(0, fcntl.F_GETFL),
}
names = list(acts) if "no files" in found else [name for name in acts if name not in ("file", "write")]
print(*[f"{name}={refused(acts[name])}" for name in names], sep=";")
"""


def test_what_is_given_up_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "key"
    kept.write_text("of the server")
    told = subprocess.run(
        [sys.executable, "-c", INSIDE, str(kept)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert kept.read_text() == "of the server"
    found = dict(each.split("=") for each in told.strip().split(";"))
    assert {found.pop("randomness"), found.pop("flags of a pipe")} == {"allowed"}
    assert found.pop("memory") == "MemoryError"
    assert set(found) >= {"socket", "program", "fork", "kill", "tgkill", "shared", "limits", "truncate"} and set(
        found.values()
    ) == {"PermissionError"}


def test_a_worker_that_takes_too_long_is_killed() -> None:
    with new_worker(timeout_s=0.2) as worker:
        assert LIMITS in worker.in_force
        os.kill(worker.process_id, 19)  # SIGSTOP: it answers nothing
        begun = time.monotonic()
        with pytest.raises(RunError) as caught:
            worker.new_key(0)
        assert (caught.value.code, time.monotonic() - begun < 10) == ("run.worker", True)
        assert "too long" in caught.value.text
        with pytest.raises(RunError):
            worker.new_key(0)


def test_a_worker_that_runs_out_of_memory_ends() -> None:
    with new_worker(memory=1 << 20) as worker, pytest.raises(RunError):
        for _ in range(50):
            worker.block(0, np.ones((9, slots.CIPHER), np.uint64), np.ones((9, slots.RING), np.uint8))


@pytest.mark.long
def test_a_worker_that_runs_out_of_time_ends() -> None:
    with new_worker(cpu_s=1) as worker, pytest.raises(RunError):
        worker.new_key(0)
        for _ in range(1000):
            worker.encrypt(0, made_up(8))


def test_a_worker_refuses_what_its_caller_should_not_have_let_through() -> None:
    """SEAL's own checks: a word that is too large, a ciphertext that hides nothing. It ends, and says no more."""
    large, clear = np.ones((2, 1, slots.CIPHER), np.uint64)
    large[0, 5], clear[0, slots.CIPHER // 2 :] = 2**64 - 1, 0
    for wrong in (large, clear):
        worker = new_worker()
        with pytest.raises(RunError) as caught:
            worker.block(0, wrong, np.ones((1, slots.RING), np.uint8))
        assert "refused" in caught.value.text
        worker.close()
        with pytest.raises(RunError):
            worker.new_key(0)


HEADERS = """
import numpy as np
from pets.kernels import he, slots
from pets.party.bfv_worker import Memory
owner, memory = he.KeyOwner(Memory()), Memory()
key = owner.new_key(0)
(words,) = owner.encrypt(0, np.ones((1, slots.RING), np.uint64))
he._cipher(0, words, memory)
right = b"".join(map(bytes, he._written(he._context(0).first_parms_id(), words, primes=3, ntt=False)))
other = he._context(1).first_parms_id(), he._context(0).key_parms_id()
def changed(at, value, width):
    return right[:at] + value.to_bytes(width, "little") + right[at + width :]
files = {
    "parameters of the other prime": right[:16] + b"".join(n.to_bytes(8, "little") for n in other[0]) + right[48:],
    "parameters of public keys": right[:16] + b"".join(n.to_bytes(8, "little") for n in other[1]) + right[48:],
    "another form": changed(48, 1, 1),
    "three polynomials": changed(49, 3, 8),
    "one polynomial": changed(49, 1, 8),
    "another degree": changed(57, 4096, 8),
    "another number of primes": changed(65, 2, 8),
    "a huge array": changed(16 + 73 + 16, 1 << 40, 8),
    "said to be compressed": changed(5, 2, 1),
    "another version": changed(3, 3, 1),
    "cut off": right[:-8],
    "of a length that is not its own": changed(8, len(right) + 8, 8),
    "a public key": b"".join(map(bytes, he._written(he._context(0).key_parms_id(), key, primes=4, ntt=True))),
}
for name, file in files.items():
    he._written = lambda *given, file=file, **more: (file,)
    try:
        he._cipher(0, words, memory)
        print(name)
    except (RuntimeError, ValueError):
        print("refused")
"""


def test_whatever_else_stands_around_the_words_is_refused_by_what_loads_them() -> None:
    """No peer can put it there: on the wire are words alone. The second fence, should the first fall."""
    done = subprocess.run([sys.executable, "-c", HEADERS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["refused"] * 13


def test_a_worker_ends_with_whoever_started_it() -> None:
    code = (
        "from pets.party.bfv import Worker; import os\n"
        "print(Worker(memory=1 << 30, cpu_s=9, timeout_s=9).process_id, flush=True); os._exit(0)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for _ in range(100):
        if not Path(f"/proc/{int(told)}/stat").exists():
            return
        if Path(f"/proc/{int(told)}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it goes on")


def test_the_server_itself_never_loads_seal() -> None:
    code = "import pets.party.bfv, pets.protocols.psi_sum, sys; sys.exit('tenseal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100).returncode == 0
