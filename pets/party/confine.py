"""What a process that reads a peer's bytes in C++ may still do: compute, within limits, and talk over its pipes.

`confine` is called by the process itself once it has loaded what it needs. It cannot be undone.

* Limits of memory, processor time and file size; no dump of memory if it crashes; it ends with its parent.
* Linux, seccomp: no sockets, no other programs or processes, no signal to one, no look into one,
  nothing shared with one; no file cut off, no mode, owner, time or attribute of one changed, which Landlock lets pass.
* Linux from 5.13 on, Landlock: no file can be opened, the party's keys among them, but the source of randomness.

A kernel that lacks one of the last two is no reason not to run by itself: what is in force is told, and goes into the
log. A program of somebody else's runs on records only where all three are (party/mpyc_process.py).

Source: Linux, Documentation/userspace-api/seccomp_filter.rst and landlock.rst; include/uapi/linux/audit.h.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Final

LIMITS: Final = "limits"
NO_NETWORK: Final = "no network"
NO_FILES: Final = "no files"

_MAX_FILE: Final = 1 << 20
"""Bytes of the one file that it writes, in memory: a key has 524,288 and its header."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_FILTER: Final = 2
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_EVERY_FILE_RIGHT: Final = (1 << 13) - 1
_READ_FILE: Final = 1 << 2
_BENEATH: Final = 1
_RANDOMNESS: Final = "/dev/urandom"
"""SEAL opens it for every seed."""

_LOAD, _EQUAL, _ABOVE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_FOREIGN: Final = 0x40000000
"""Numbers from here on are calls of another kind on x86-64."""

_REFUSED: Final = {
    # socket, connect, accept, sendto, bind, listen, socketpair; clone, fork, vfork, execve, kill; ptrace, unshare;
    # process_vm_readv, process_vm_writev, bpf, execveat, io_uring_setup, clone3, pidfd_getfd; in the second row
    # tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal, prlimit64; shmget, shmat, msgget, semget;
    # add_key, request_key, keyctl; in the third truncate, fchmod, fchmodat, fchmodat2, fchown, fchownat, utimensat,
    # setxattr, lsetxattr, fsetxattr, setxattrat, removexattr, lremovexattr, fremovexattr, removexattrat, file_setattr,
    # chroot, mq_unlink; setpriority, sched_setaffinity, sched_setscheduler, sched_setparam, sched_setattr, ioprio_set;
    # on x86-64 alone chmod, chown, lchown, utime, utimes, futimesat; last perf_event_open, which samples the stack and
    # registers of another, kcmp, get_robust_list, migrate_pages, move_pages, process_madvise, process_mrelease,
    # pidfd_open, userfaultfd
    "x86_64": (
        0xC000003E,
        (
            *(41, 42, 43, 44, 49, 50, 53, 56, 57, 58, 59, 62, 101, 272, 310, 311, 321, 322, 425, 435, 438),
            *(200, 234, 129, 297, 424, 302, 29, 30, 68, 64, 248, 249, 250),
            *(76, 91, 268, 452, 93, 260, 280, 188, 189, 190, 463, 197, 198, 199, 466, 469, 161, 241),
            *(141, 203, 144, 142, 314, 251, 90, 92, 94, 132, 235, 261),
            *(298, 312, 274, 256, 279, 440, 448, 434, 323),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(198, 203, 202, 206, 200, 201, 199, 220, 221, 129, 117, 97, 270, 271, 280, 281, 425, 435, 438),
            *(130, 131, 138, 240, 424, 261, 194, 196, 186, 190, 217, 218, 219),
            *(45, 52, 53, 452, 55, 54, 88, 5, 6, 7, 463, 14, 15, 16, 466, 469, 51, 181),
            *(140, 122, 119, 118, 274, 30),
            *(241, 272, 100, 238, 239, 440, 448, 434, 282),
        ),
    ),
}

_COMMANDS: Final = {
    # fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX; ioctl: FIOSETOWN, SIOCSPGRP: a signal to a process when a pipe has data
    "x86_64": ((72, (8, 10, 15)), (16, (0x8901, 0x8902))),
    "aarch64": ((25, (8, 10, 15)), (29, (0x8901, 0x8902))),
}
"""Calls of which some commands are refused, by their second argument."""


def confine(*, memory: int, cpu_s: int) -> frozenset[str]:
    """Give up everything that computing does not need; say what is in force.

    Units:  memory in bytes of address space, above what is taken now; cpu_s in seconds of processor.
    Raises: OSError or ValueError if not even the limits can be set.
    """
    taken = _address_space()
    for what, most in (
        (resource.RLIMIT_AS, taken + memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, _MAX_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    found = {LIMITS}
    if sys.platform != "linux":
        return frozenset(found)
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        found |= {NO_FILES} if _close_files(system) else set()
        found |= {NO_NETWORK} if _close_network(system) else set()
    return frozenset(found)


def _address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _close_files(system: ctypes.CDLL) -> bool:
    """Landlock: every right to files is handled, and one is given. What is open, and files in memory, stay."""
    handled = struct.pack("<Q", _EVERY_FILE_RIGHT)
    rules = system.syscall(_LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    source = os.open(_RANDOMNESS, os.O_PATH)
    given = struct.pack("<Qi", _READ_FILE, source)
    added = system.syscall(_LANDLOCK_ADD, rules, _BENEATH, given, 0) == 0
    os.close(source)
    closed: bool = added and system.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return closed


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _close_network(system: ctypes.CDLL) -> bool:
    """Seccomp: listed calls are refused, calls of another architecture end the process."""
    if platform.machine() not in _REFUSED:
        return False
    architecture, refused = _REFUSED[platform.machine()]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    steps += [(_ABOVE, 0, 1, _FOREIGN), (_RETURN, 0, 0, _KILL)]
    for number in refused:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number, commands in _COMMANDS[platform.machine()]:
        inside = [(_LOAD, 0, 0, 24)]  # the low half of the second argument: both architectures are little-endian
        for command in commands:
            inside += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, _REFUSE)]
        inside += [(_RETURN, 0, 0, _ALLOW)]
        steps += [(_EQUAL, 0, len(inside), number), *inside]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("<HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    return bool(system.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)
