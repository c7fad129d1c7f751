"""Memory on huge pages."""

import sys
from pathlib import Path

import pytest

from serving.model.huge_pages import HUGE_PAGE, zeroed_bytes


def mapping(address: int) -> list[str]:
    """The fields of the line of /proc/self/maps that has the address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, _, end = line.split()[0].partition("-")
        if int(begin, 16) <= address < int(end, 16):
            return line.split()
    raise AssertionError(f"no mapping has {address:x}")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_large_memory_is_of_a_kind_that_linux_puts_on_huge_pages() -> None:
    memory = zeroed_bytes(3 * HUGE_PAGE + 1)
    assert (len(memory), int(memory.count_nonzero())) == (3 * HUGE_PAGE + 1, 0)
    assert memory.data_ptr() % HUGE_PAGE == 0
    fields = mapping(memory.data_ptr())
    assert fields[1] == "rw-p"
    assert len(fields) == 5, "backed by a file"


def test_little_memory_is_zero_too() -> None:
    assert zeroed_bytes(5).tolist() == [0] * 5
