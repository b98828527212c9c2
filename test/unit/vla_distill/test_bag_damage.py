"""Damaged bags: what can be read is converted, what cannot is named, nothing half-made stays."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from test_bags import CAMERAS, messages, picture, reasons, write

from vla_distill.bags.content import Bag, read_bag
from vla_distill.bags.episode import split
from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import Fault
from vla_distill.bags.message import MessageMaker
from vla_distill.bags.to_dataset import to_dataset
from vla_distill.dataset.reader import Dataset
from vla_distill.dataset.statistics import IMAGE_SAMPLES
from vla_policy.message_types import message_types


def told(faults: Iterable[Fault]) -> str:
    return " | ".join(str(fault) for fault in faults)


def convert(path: Path) -> tuple[Dataset, str]:
    _, left_out = to_dataset(read_bag(path), path.parent / "dataset")
    return Dataset(path.parent / "dataset"), told(left_out)


def refuse(path: Path, match: str) -> None:
    """It is refused, and nothing is left of the attempt."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(BagError, match=match):
        to_dataset(read_bag(path), path.parent / "dataset")
    assert sorted(path.parent.iterdir()) == before


def packed(content):
    """The same with JPEG images."""
    make, out = MessageMaker(), []
    for time, topic, message in content:
        if topic.endswith("image_raw"):
            stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
            image = make.stamped("sensor_msgs/msg/CompressedImage", stamp)
            pixels = picture(round(stamp, 9), topic.split("/")[-2])
            image.format, image.data = "jpeg", cv2.imencode(".jpg", pixels)[1].reshape(-1)
            out.append((time, f"{topic}/compressed", image))
        else:
            out.append((time, topic, message))
    return out


def test_of_a_bag_cut_off_all_that_was_written_is_converted(tmp_path):
    whole = write(tmp_path / "whole.mcap", messages(duration=30.0)).read_bytes()
    path = tmp_path / "cut.mcap"
    path.write_bytes(whole[: len(whole) // 2])
    data, text = convert(path)
    assert 50 < len(data.episode(0)) < 300
    assert "cut.mcap cannot be read from byte" in text and "bytes are lost" in text


def test_a_corrupt_chunk_costs_its_moments_and_they_are_named(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    content = bytearray(path.read_bytes())
    for byte in range(len(content) // 2, len(content) // 2 + 40):
        content[byte] ^= 0x55
    path.write_bytes(content)
    data, text = convert(path)
    assert len(data.episodes) == 2  # before and after, not across
    assert "the chunk at byte" in text and "s are lost" in text


def test_nothing_is_aligned_across_a_clock_that_jumped_back(tmp_path):
    data, text = convert(write(tmp_path / "a.mcap", [*messages(20.0), *messages(5.0)]))
    assert "jumped back by" in text and " s;" in text
    assert [len(data.episode(index)) for index in range(2)] == [11, 11]


def test_without_any_camera_it_is_refused_by_name(tmp_path):
    content = [m for m in messages() if "camera" not in m[1]]
    refuse(write(tmp_path / "a.mcap", content), "no image")


def test_without_the_state_it_is_refused_by_name(tmp_path):
    content = [m for m in messages() if m[1] != "/ee_state"]
    refuse(write(tmp_path / "a.mcap", content), "no state")


def test_without_commands_those_that_the_state_tells_are_taken(tmp_path):
    content = [m for m in messages() if m[1] != "/ee_command"]
    data, _ = convert(write(tmp_path / "a.mcap", content))
    with_commands = write(tmp_path / "b.mcap", messages())
    to_dataset(read_bag(with_commands), tmp_path / "other")
    wanted = Dataset(tmp_path / "other").episode(0).action
    assert data.episode(0).action[:9] == pytest.approx(wanted[:9], abs=1e-6)


def test_a_camera_of_another_type_is_named_and_left_out(tmp_path):
    make = MessageMaker()
    content = [
        (t, topic, make.text("no image")) if "wrist" in topic else (t, topic, m)
        for t, topic, m in messages()
    ]
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert data.cameras == ["front"] or tuple(data.cameras) == ("front",)
    assert "/camera/wrist/image_raw" in text and "std_msgs/msg/String" in text


def test_a_bag_whose_topics_hold_nothing_is_refused(tmp_path):
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start("ros2")
        for kind, topic in (
            ("vla_msgs/msg/EndEffectorState", "/ee_state"),
            ("sensor_msgs/msg/Image", "/camera/front/image_raw"),
        ):
            text, _ = message_types().generate_msgdef(kind, ros_version=2)
            schema = writer.register_schema(kind, "ros2msg", text.encode())
            writer.register_channel(topic, "cdr", schema)
        writer.finish()
    assert "no message" in reasons(read_bag(path))
    refuse(path, "no state")


def test_images_of_no_size_are_refused_by_name(tmp_path):
    content = messages()
    for _, topic, message in content:
        if "camera" in topic:
            message.height = message.width = message.step = 0
            message.data = np.zeros(0, np.uint8)
    refuse(write(tmp_path / "a.mcap", content), "no readable image")


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_a_broken_image_ends_the_episode_there_and_is_named(tmp_path, transport):
    content = messages(duration=2.0)
    content = packed(content) if transport == "compressed" else content
    broken = [m for t, topic, m in content if "wrist" in topic and t == 11.2]
    broken[0].data = np.full(7, 1, np.uint8)
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert len(data.episode(0)) == 12
    assert "/camera/wrist/image_raw" in text and "at 11.200 s" in text and "ends here" in text


def test_of_broken_images_the_first_ends_the_episode_whichever_camera_it_is_of(tmp_path):
    content = messages(duration=2.0)
    for time, topic, message in content:
        if ("front" in topic and time == 11.4) or ("wrist" in topic and time in (10.9, 11.0)):
            message.data = np.full(7, 1, np.uint8)
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert len(data.episode(0)) == 9
    assert "/camera/wrist/image_raw at 10.900 s" in text and text.count("ends here") == 1


def test_an_episode_that_breaks_at_once_is_left_out(tmp_path):
    content = messages(duration=2.0)
    broken = [m for t, topic, m in content if "wrist" in topic and t == 10.1]
    broken[0].data = np.full(7, 1, np.uint8)
    refuse(write(tmp_path / "a.mcap", content), "no usable frames.*ends here")


def test_each_image_is_decoded_once(tmp_path, monkeypatch):
    bag = read_bag(write(tmp_path / "a.mcap", packed(messages(duration=6.0))))
    decoded, pixels = Counter(), Bag.pixels
    monkeypatch.setattr(Bag, "pixels", lambda s, ref: decoded.update([ref]) or pixels(s, ref))
    to_dataset(bag, tmp_path / "dataset")
    # But for the few that statistics are made of, and the first one for its size.
    again = decoded.total() - len(decoded)
    assert len(decoded) > 100 and again <= len(CAMERAS) * IMAGE_SAMPLES + 1


def test_the_state_may_be_missing_for_a_while(tmp_path):
    content = [m for m in messages(duration=4.0) if m[1] != "/ee_state" or not 11.3 < m[0] < 12.7]
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert len(data.episodes) == 2 and "ee_state" in text


def test_a_mark_of_an_end_that_was_lost_is_made_up_for_by_the_next_start(tmp_path):
    first = [m for m in messages(10.0) if not (m[1] == "/episode_mark" and m[2].kind == 1)]
    bag = read_bag(write(tmp_path / "a.mcap", [*first, *messages(12.0)]))
    one, two = split(bag)
    assert one.end <= two.start == 12.0
    assert set(bag.images) == set(CAMERAS)
