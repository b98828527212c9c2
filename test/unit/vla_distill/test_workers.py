"""Worker processes and the end of the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vla_distill.workers import worker_pool

SCRIPT = """
import os, pathlib, sys, time
from vla_distill.workers import worker_pool

def note(folder):
    pathlib.Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    pool = worker_pool(2)
    jobs = [pool.submit(note, sys.argv[1]) for _ in range(2)]
    [job.result() for job in jobs]
"""


def wait_for(what, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    notes = tmp_path / "notes"
    notes.mkdir()
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(notes)])
    assert wait_for(lambda: len(list(notes.iterdir())) == 2)
    workers = [int(note.name) for note in notes.iterdir()]
    assert all(map(runs, workers))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not any(map(runs, workers)))


def test_a_pool_begins_with_what_it_is_given() -> None:
    with worker_pool(1, os.umask, 0o77) as pool:
        assert pool.submit(os.umask, 0).result() == 0o77
