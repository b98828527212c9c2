"""How fast and in how much memory a bag becomes a dataset: two cameras, 640x480 at 30 Hz.

    python benchmarks/bag_conversion.py --json benchmarks/results/bag_conversion.json

Makes a bag of ten minutes (some 2 GB in the temporary folder; its pictures move and are packed as
JPEG, as camera drivers send them), converts it with `vla bag to-dataset` in a process of its own,
and tells recorded seconds a second, and the greatest memory of a tenth of the bag and of all of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_distill.bags.message import MessageMaker
from vla_distill.evaluation.machine import command, commit, machine
from vla_policy.bag_writer import BagWriter
from vla_policy.message_types import message_types

SIZE = (480, 640)
IMAGE_RATE, STATE_RATE = 30, 50
CAMERAS = ("front", "wrist")
EPISODE = 20.0
"""Of an episode [s]."""
PICTURES = 30
"""Different pictures a camera; they come again and again, which no part of the conversion uses."""


def pictures(camera: int, transport: str) -> list[Any]:
    """Messages of a scene that moves under a little noise, without their stamps."""
    make, rng = MessageMaker(), np.random.default_rng(camera)
    ground = cv2.resize(rng.integers(60, 200, (12, 16, 3), np.uint8), SIZE[::-1])
    found = []
    for index in range(PICTURES):
        image = np.roll(ground, 7 * index, axis=1)
        cv2.circle(image, (40 + 18 * index, 240), 50, (30, 60, 220), -1)
        noisy = image.astype(np.int16) + rng.integers(-4, 5, image.shape, np.int16)
        found.append(_message(make, noisy.clip(0, 255).astype(np.uint8), camera, transport))
    return found


def _message(make: MessageMaker, image: NDArray[np.uint8], camera: int, transport: str) -> Any:
    if transport == "raw":
        return make.image(0.0, CAMERAS[camera], image)
    packed = make.stamped("sensor_msgs/msg/CompressedImage", 0.0, CAMERAS[camera])
    packed.format = "jpeg"
    packed.data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].reshape(-1)
    return packed


def make_bag(path: Path, seconds: float, transport: str) -> None:
    """Write the bag: images at 30 Hz, states and commands at 50 Hz, an episode every 20 s."""
    make, images = MessageMaker(), [pictures(c, transport) for c in range(len(CAMERAS))]
    suffix = "" if transport == "raw" else "/compressed"
    types = message_types()
    kind = images[0][0].__msgtype__
    # The bytes of a message but for its stamp, which lies behind the four bytes of CDR's header.
    packed = [[bytearray(types.serialize_cdr(m, kind)) for m in own] for own in images]
    rows = [(k / IMAGE_RATE, "image", k) for k in range(round(seconds * IMAGE_RATE))]
    rows += [(k / STATE_RATE, "state", k) for k in range(round(seconds * STATE_RATE))]
    with BagWriter(path, compress=False) as bag:
        for due, what, number in sorted(rows):
            stamp = round(1.0 + due, 9)
            if what == "image":
                for camera, name in enumerate(CAMERAS):
                    data = packed[camera][number % PICTURES]
                    nanoseconds = round(stamp * 1e9)
                    data[4:8] = (nanoseconds // 10**9).to_bytes(4, "little")
                    data[8:12] = (nanoseconds % 10**9).to_bytes(4, "little")
                    bag.write(f"/camera/{name}/image_raw{suffix}", kind, bytes(data), stamp)
                continue
            if number % round(EPISODE * STATE_RATE) == 0:
                bag.add("/episode_mark", make.mark(stamp, 0, "pick up the cube"), stamp)
            pose = np.array([0.3 + 0.05 * np.sin(due), 0.0, 0.2, 0.0, 1.57, 0.0, 0.04])
            bag.add("/ee_state", make.state(stamp, np.append(pose, 0.04), pose), stamp)
            bag.add("/ee_command", make.command(stamp, pose), stamp)


def convert(bag: Path, out: Path, fps: int) -> dict[str, float]:
    """Convert in a process of its own.

    Returns:
        Its wall time [s] and greatest memory [MB].
    """
    code = (
        "import resource, sys; from vla_distill.cli.main import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr);sys.exit(code)"
    )
    words = ["bag", "to-dataset", str(bag), "--out", str(out), "--fps", str(fps)]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"the conversion failed:\n{done.stderr}")
    return {"seconds": seconds, "megabytes": int(done.stderr.split()[-1]) / 1024}


def main(argv: Sequence[str] | None = None) -> int:
    """Make the bags, convert them, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    add: Any = parser.add_argument
    add("--minutes", type=float, default=10.0, help="length of the bag")
    add("--fps", type=int, default=10, help="frames a second of the dataset")
    add("--transport", choices=("compressed", "raw"), default="compressed", help="of the images")
    add("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bag-conversion-") as folder:
        for minutes in (arguments.minutes / 10, arguments.minutes):
            bag, out = Path(folder) / "bag.mcap", Path(folder) / "dataset"
            make_bag(bag, 60.0 * minutes, arguments.transport)
            found = convert(bag, out, arguments.fps)
            factor = 60.0 * minutes / found["seconds"]
            size = bag.stat().st_size / 1e6
            rows.append({"minutes": minutes, "bag_megabytes": size, "times_real_time": factor})
            rows[-1] |= found
            print(json.dumps(rows[-1]), flush=True)
            bag.unlink()
            shutil.rmtree(out)
    result = {
        "rows": rows,
        "memory_growth": rows[1]["megabytes"] / rows[0]["megabytes"],
        "fps": arguments.fps,
        "transport": arguments.transport,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the text above as it stands."""


if __name__ == "__main__":
    sys.exit(main())
