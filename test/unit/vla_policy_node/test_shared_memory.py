"""What a killed process leaves of Fast DDS's ports, in a folder that stands for /dev/shm."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vla_policy_node.shared_memory import remove_unfinished_ports

WHOLE = (2).to_bytes(4, "little") + bytes(60)
EMPTY, BLANK, BEGUN = b"", bytes(64), (1).to_bytes(4, "little") + bytes(60)


def leave(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [EMPTY, BLANK, BEGUN], ids=["empty", "blank", "begun"])
@pytest.mark.parametrize("name", ["fastrtps_port7002", "fastdds_port10911"])
def test_a_port_that_nobody_will_finish_is_removed_and_named(tmp_path, capsys, name, content):
    path = leave(tmp_path, name, content)
    assert remove_unfinished_ports(tmp_path) == [path]
    assert not path.exists() and str(path) in capsys.readouterr().err
    assert remove_unfinished_ports(tmp_path) == []


def test_a_port_that_is_just_being_made_stays(tmp_path, capsys):
    path = leave(tmp_path, "fastrtps_port7002", EMPTY)
    maker = threading.Timer(0.3, path.write_bytes, [WHOLE])
    maker.start()
    assert remove_unfinished_ports(tmp_path) == []
    maker.join()
    assert path.read_bytes() == WHOLE and capsys.readouterr().err == ""


def test_what_is_whole_or_no_port_stays(tmp_path, capsys):
    kept = [
        leave(tmp_path, "fastrtps_port7000", WHOLE),
        leave(tmp_path, "fastrtps_port7000_el", EMPTY),
        leave(tmp_path, "fastrtps_093670780e8e0c44_el", EMPTY),
        leave(tmp_path, "sem.fastrtps_port7000_mutex", BLANK),
        leave(tmp_path, "somebody_elses", EMPTY),
    ]
    assert remove_unfinished_ports(tmp_path) == []
    assert all(path.exists() for path in kept) and capsys.readouterr().err == ""


def test_another_users_port_is_named_and_stays(tmp_path, monkeypatch, capsys):
    path = leave(tmp_path, "fastrtps_port7002", EMPTY)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(self)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert remove_unfinished_ports(tmp_path) == []
    assert f"{path} is unfinished and another user's" in capsys.readouterr().err


def test_a_machine_without_shared_memory_has_nothing_to_mend(tmp_path):
    assert remove_unfinished_ports(tmp_path / "shm") == []
