"""A child of the test's own process, which starts at once; it must not need more than one thread."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

#: Every event of Python that changes a file or a folder, or opens one.
CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod")


def forked(run: Callable[[], object]) -> int:
    """The process id of a child that runs `run` and ends, with 0 where it did not raise."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """What a child ended with: its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(place: int, run: Callable[[], object]) -> bool:
    """Runs `run` in a child that dies by SIGKILL before its change number `place`; False where it makes fewer."""

    def dying() -> None:
        left = place

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in CHANGES:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        run()

    code = ended(forked(dying))
    assert code in (0, -signal.SIGKILL)
    return code != 0
