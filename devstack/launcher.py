"""Runs a program that dies with the process that asked for it.

Executed by path and isolated (`python -I -S launcher.py PARENT-PID PROGRAM ARGUMENT…`), so it imports nothing of ours.
The request to be killed with the parent must be made inside the child; doing it in a small program of its own spares
the parent from running Python between fork and exec, which is unsafe beside other threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death, then become the program."""
    parent_pid = int(sys.argv[1])
    program = sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the request was made; nobody would be left to end this child.
    if os.getppid() != parent_pid:
        sys.exit(f"the parent {parent_pid} has ended already")
    # Python ignores SIGPIPE and SIGXFSZ, and an ignored signal stays ignored across exec: programs expect the default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(program[0], program, os.environ)  # noqa: S606 - becoming the given program is this file's purpose
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
