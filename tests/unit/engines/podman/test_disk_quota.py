"""What runs write is counted, whatever they do to hide it, and removed, whatever they do to stay."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amun.engines.podman.podman_cli import Podman
from amun.engines.podman.runs import deleted_files, disk_quota, remove_tree
from amun.engines.podman.runs.container import Container

MEBIBYTE = 1 << 20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root, Podman has to be asked to become the owner")


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    layer = tmp_path / "layer"
    layer.mkdir()
    yield Container(0, os.getpid(), False, 0, False, None, None, (layer, tmp_path / "gone"))
    remove_tree.uproot(str(layer))  # pytest, who keeps such places for a while, could not remove what is deep


@pytest.fixture
def podman() -> Podman:
    return Podman("podman", {})


def deep(top: Path, levels: int) -> None:
    """Directories one in the other, each with a file beside; made without long paths."""
    subprocess.run(
        [sys.executable, "-c", "import os,sys\nos.chdir(sys.argv[1])\nfor _ in range(int(sys.argv[2])):\n"
         " os.mkdir('d'); os.mknod('f'); os.chdir('d')", str(top), str(levels)],
        check=True,
    )  # fmt: skip


class TestGuard:
    @pytest.fixture(autouse=True)
    def disk_that_is_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Others write to this machine's disk as well: it seems to shrink by a GiB at every look."""
        left = iter(range(1 << 50, 0, -(1 << 30)))
        monkeypatch.setattr(disk_quota.DiskGuard, "_left", lambda self: next(left))

    def test_nothing_is_exceeded_by_what_others_write(self, podman: Podman, container: Container) -> None:
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, 100 * MEBIBYTE)
        assert not any(guard.exceeded() for _ in range(3))

    def test_bytes_in_files_count(self, podman: Podman, container: Container) -> None:
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, MEBIBYTE)
        (container.writable[0] / "big").write_bytes(os.urandom(2 * MEBIBYTE))
        assert guard.exceeded()

    def test_a_file_that_takes_no_room_counts_little(self, podman: Podman, container: Container) -> None:
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, 100 * MEBIBYTE)
        with (container.writable[0] / "sparse").open("wb") as file:
            file.truncate(1 << 40)
        assert not guard.exceeded()

    def test_files_without_content_count(self, podman: Podman, container: Container) -> None:
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, MEBIBYTE)
        for number in range(300):
            (container.writable[0] / str(number)).touch()
        assert guard.exceeded()

    def test_what_lies_deeper_than_a_path_can_say_counts(self, podman: Podman, container: Container) -> None:
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, 4 * MEBIBYTE)
        deep(container.writable[0], 3000)
        assert guard.exceeded()

    def test_a_file_counts_that_was_deleted_and_is_still_open(self, container: Container) -> None:
        (layer, _) = container.writable
        before = deleted_files.nameless(os.getpid(), [str(layer)])
        with (layer / "secret").open("wb", buffering=0) as file:
            os.unlink(layer / "secret")
            file.write(os.urandom(3 * MEBIBYTE))
            assert deleted_files.nameless(os.getpid(), [str(layer)]) - before > 2 * MEBIBYTE

    def test_a_container_that_is_over_has_no_open_files(self) -> None:
        assert deleted_files.nameless(0, []) == 0

    def test_more_than_can_be_counted_in_time_is_too_much(
        self, podman: Podman, container: Container, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_quota, "PATIENCE", -1.0)  # over before du has begun, however quick it is
        (container.writable[0] / "file").touch()
        assert disk_quota.DiskGuard(podman, container.process, container.writable, 100 * MEBIBYTE).exceeded()

    def test_a_count_that_outlives_the_run_tells_nothing(self, podman: Podman, container: Container) -> None:
        (container.writable[0] / "big").write_bytes(os.urandom(2 * MEBIBYTE))
        guard = disk_quota.DiskGuard(podman, container.process, container.writable, MEBIBYTE)
        assert not guard.exceeded(patience=-1.0)
        assert guard.exceeded()

    def test_a_count_that_takes_long_while_the_disk_hardly_shrinks_tells_nothing(
        self, podman: Podman, container: Container, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_quota, "PATIENCE", -1.0)
        assert not disk_quota.DiskGuard(podman, container.process, container.writable, 1 << 30).exceeded()


def test_free_space_is_only_looked_at_until_it_shrinks(
    podman: Podman, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting disturbs what is measured."""
    free = iter([100, 100, 99, 150, 149, 91, 90])
    monkeypatch.setattr(disk_quota.DiskGuard, "_left", lambda self: next(free) * MEBIBYTE)
    counted: list[int] = []
    monkeypatch.setattr(disk_quota.DiskGuard, "_used", lambda self: counted.append(1) or MEBIBYTE)
    guard = disk_quota.DiskGuard(podman, container.process, container.writable, 50 * MEBIBYTE)
    assert [guard.exceeded() or len(counted) for _ in range(6)] == [0, 0, 0, 0, 1, 1]


class TestClearing:
    def test_a_tree_of_any_shape_is_removed_and_nothing_outside_of_it(
        self, podman: Podman, container: Container, tmp_path: Path
    ) -> None:
        (layer, _) = container.writable
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        deep(layer, 5000)
        (layer / "link").symlink_to(outside)
        (layer / "loop").symlink_to(layer / "loop")
        (layer / "-rf\n*").mkdir(0o000)
        os.mkfifo(layer / "pipe")
        disk_quota.clear(podman, [container])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]
        assert (outside / "kept").exists()

    def test_what_was_begun_is_finished(self, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        for half in (tree / "a" / "b", tmp_path / "tree.uprooted" / "1-0" / "c"):
            half.mkdir(parents=True)
            (half / "file").touch()
        remove_tree.uproot(str(tree))
        assert list(tmp_path.iterdir()) == []

    def test_what_is_not_there_needs_no_clearing(self, podman: Podman, container: Container, tmp_path: Path) -> None:
        disk_quota.clear(podman, [dataclasses.replace(container, writable=(tmp_path / "nothing",))])
