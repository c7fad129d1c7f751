"""Limits that a child process sets on itself before it runs a model's code.

It uses the standard library only, since a Python without our packages runs it too.
"""

import ctypes
import os
import resource
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NO_NETWORK = 97
"""The exit code when the kernel refuses to isolate the network."""


def confine(memory_mb: int, cpu_s: int, processes: int, network: bool) -> None:
    """Limit memory, processor time, children, files and, unless `network`, the network, for this process and its
    children.

    Without the network, the process is in a network namespace whose only interface is a loopback that is down. It exits
    with `NO_NETWORK` when the kernel refuses that.
    """
    if not network and not _without_network():
        print("the kernel does not allow this process its own network namespace", file=sys.stderr, flush=True)
        os._exit(NO_NETWORK)
    for limit, value in (
        (resource.RLIMIT_AS, memory_mb * 2**20),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_FSIZE, 64 * 2**20),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _without_network() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))


if __name__ == "__main__":
    memory, cpu, children, has_network = (int(word) for word in sys.argv[1:5])
    confine(memory, cpu, children, bool(has_network))
    source = sys.stdin.read()
    sys.argv = ["code.py"]
    exec(compile(source, "code.py", "exec"), {"__name__": "__main__"})
