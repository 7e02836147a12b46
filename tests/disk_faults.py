"""Faults of the disk that the kernel itself makes: what a child process does before it runs pytest."""

import ctypes
import errno
import platform
import resource
import signal
import struct

# fsync and fdatasync by their numbers, which seccomp filters go by (Linux: asm/unistd.h).
SYNC_CALLS = {"x86_64": (74, 75), "aarch64": (82, 83)}.get(platform.machine()) if platform.system() == "Linux" else None
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE, DROP_CAPABILITY = 38, 22, 2, 24  # prctl(2)
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF, linux/filter.h
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000  # linux/seccomp.h


def files_stay_small(kibibytes=16):
    """Let no file grow over that size: a full disk, at 16 KiB from the cache's first pages on."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, kibibytes * 1024))


def no_more_than_others():
    """Let root be bound by the modes of files as any other user is; for who is not root nothing changes."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: linux/capability.h
        ctypes.CDLL(None).prctl(DROP_CAPABILITY, capability, 0, 0, 0)


def syncing_fails():
    """Let fsync and fdatasync fail with EIO from here on, as on a disk that has lost what was written."""
    fsync, fdatasync = SYNC_CALLS
    program = [
        (LOAD_WORD, 0, 0, 0),  # the number of the system call
        (JUMP_IF_EQUAL, 1, 0, fsync),
        (JUMP_IF_EQUAL, 0, 1, fdatasync),
        (RETURN, 0, 0, FAIL_WITH | errno.EIO),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, FILTER_MODE, whole, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter")
