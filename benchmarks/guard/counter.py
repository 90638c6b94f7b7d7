"""Instructions that this thread ran in user space, counted by the processor: Linux's perf_event_open."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Callable
from typing import Any

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ENABLE, _DISABLE, _RESET = 0x2400, 0x2401, 0x2403
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
#: (type, config) of struct perf_event_attr.
INSTRUCTIONS = (0, 1)


def instructions(call: Callable[[], Any], event: tuple[int, int] = INSTRUCTIONS) -> int:
    """What `event` counted in this thread during the call. Raises OSError where the kernel or the machine has no such
    counter for us, as in most virtual machines."""
    descriptor = _open(event)
    try:
        fcntl.ioctl(descriptor, _RESET, 0)
        fcntl.ioctl(descriptor, _ENABLE, 0)
        call()
        fcntl.ioctl(descriptor, _DISABLE, 0)
        return int(struct.unpack("q", os.read(descriptor, 8))[0])
    finally:
        os.close(descriptor)


def _open(event: tuple[int, int]) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None or platform.system() != "Linux":
        raise OSError(f"no perf_event_open known for {platform.system()} on {platform.machine()}")
    kind, config = event
    flags = _DISABLED | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    # type, size, config, sample_period, sample_type, read_format, flags, wakeup_events, bp_type, bp_addr
    attributes = struct.pack("IIQQQQQIIQ", kind, 64, config, 0, 0, 0, flags, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    me, any_cpu, no_group, close_on_exec = 0, -1, -1, 8
    descriptor = int(libc.syscall(number, attributes, me, any_cpu, no_group, close_on_exec))
    if descriptor < 0:
        code = ctypes.get_errno()
        reason = "the machine has no such counter" if code == errno.ENOENT else os.strerror(code)
        raise OSError(f"perf_event_open: {reason}")
    return descriptor
