"""Memory of a training process on a CPU: what a step frees is kept for the next one, in large pages.

glibc gives large blocks back to the system at once and asks for them anew, so that every step of a network touches
thousands of fresh pages, each of which the system has to clear. Keeping them saves about a twentieth of a step.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

# From malloc.h and asm-generic/mman-common.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MADV_HUGEPAGE = 14


def keep(reserve: int = 1 << 30) -> bool:
    """Never give freed memory back, and let up to ``reserve`` bytes of it lie in huge pages; says whether it could.

    Nothing is used up by the reserve: its pages come to be when they are first written. Only glibc has these dials.
    """
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        if not (libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)):
            return False
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        block = libc.malloc(reserve)
        if block:
            start = -(-block // 4096) * 4096
            libc.madvise(start, (block + reserve - start) // 4096 * 4096, _MADV_HUGEPAGE)
            libc.free(block)
        return True
    return False
