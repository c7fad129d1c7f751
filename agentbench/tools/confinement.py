"""Limits that a process of ours puts on itself before it runs what a model wrote. Standard library only: it is also
run alone, by a Python that sees none of our packages."""

import ctypes
import os
import resource
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NO_NETWORK = 97
"""The exit code that says the kernel would not cut the network."""


def confine(memory_mb: int, cpu_s: int, processes: int, network: bool) -> None:
    """Memory, processor time, children, files and, unless `network`, the network, from now on and for all children.

    Without the network the process is in a namespace of its own that has no interface but a loopback that is down.
    Ends the process with `NO_NETWORK` where the kernel refuses that.
    """
    if not network and not _without_network():
        print("the kernel lets this process have no network namespace of its own", file=sys.stderr, flush=True)
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
