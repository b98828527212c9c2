"""Damaged bags: what can be read is converted, what cannot is named, nothing half-made stays."""

import json
import shutil
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
from vla_distill.bags.mcap_file import mcap_summary
from vla_distill.bags.message import MessageMaker
from vla_distill.bags.to_dataset import to_dataset
from vla_distill.cli import main as cli
from vla_distill.dataset.reader import Dataset
from vla_distill.dataset.statistics import IMAGE_SAMPLES
from vla_policy.conversions import set_stamp
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


def chunk_offsets(path: Path) -> list[int]:
    summary = mcap_summary(path)
    assert summary is not None
    return [each.chunk_start_offset for each in summary.chunk_indexes]


def spoil(path: Path, begin: int, count: int) -> None:
    content = bytearray(path.read_bytes())
    content[begin : begin + count] = bytes(byte ^ 0xFF for byte in content[begin : begin + count])
    path.write_bytes(content)


def moved(message, by: float):
    """The message with another header stamp; a text has none."""
    if hasattr(message, "header"):
        stamp = message.header.stamp
        set_stamp(stamp, stamp.sec + stamp.nanosec * 1e-9 + by)
    return message


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


def test_of_a_bag_cut_off_all_that_was_written_is_converted(tmp_path, capsys):
    whole = write(tmp_path / "whole.mcap", messages(duration=30.0)).read_bytes()
    path = tmp_path / "cut.mcap"
    path.write_bytes(whole[: len(whole) // 2])
    data, text = convert(path)
    assert 50 < len(data.episode(0)) < 300
    assert "cut.mcap cannot be read from byte" in text and "bytes are lost" in text
    assert cli.main(["bag", "info", str(path), "--json"]) == 0  # what is left can be read
    assert text == told(Fault(**each) for each in json.loads(capsys.readouterr().out)["faults"])


def test_a_corrupt_chunk_costs_its_moments_and_they_are_named(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    content = bytearray(path.read_bytes())
    for byte in range(len(content) // 2, len(content) // 2 + 40):
        content[byte] ^= 0x55
    path.write_bytes(content)
    data, text = convert(path)
    assert len(data.episodes) == 2  # before and after, not across
    assert "the chunk at byte" in text and "s are lost" in text


def test_a_chunk_whose_length_is_broken_costs_that_chunk_alone(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    begins = chunk_offsets(path)
    spoil(path, begins[len(begins) // 2] + 1, 8)
    data, text = convert(path)
    assert len(data.episodes) == 2
    assert f"byte {begins[len(begins) // 2]} to byte {begins[len(begins) // 2 + 1]}" in text
    assert "messages that a.mcap says it holds" in text


def test_a_lost_first_chunk_does_not_make_the_others_unreadable(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    first, second, *_ = chunk_offsets(path)
    spoil(path, (first + second) // 2, 40)
    bag = read_bag(path)
    assert len(bag.states) > 200 and set(bag.images) == set(CAMERAS)
    assert "the chunk at byte" in told(bag.faults) and "not declared" not in told(bag.faults)


def test_a_chunk_that_no_longer_looks_like_one_is_missed(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    spoil(path, chunk_offsets(path)[1], 1)  # a record of an unknown kind: to be passed over
    assert "messages that a.mcap says it holds" in told(read_bag(path).faults)


def test_a_file_that_the_metadata_names_is_missed(tmp_path):
    write(tmp_path / "bag_0.mcap", messages())
    files = "[bag_0.mcap, bag_1.mcap]"
    (tmp_path / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information: {{relative_file_paths: {files}}}"
    )
    assert "bag_1.mcap is named in metadata.yaml" in told(read_bag(tmp_path).faults)


def test_an_episode_in_which_the_clock_jumps_goes_on_as_another(tmp_path):
    start, *rest = messages(duration=2.0)
    content = [start, *rest[: len(rest) // 2]]
    back = [(t - 5.0, topic, moved(m, -5.0)) for t, topic, m in rest[len(rest) // 2 :]]
    bag = read_bag(write(tmp_path / "a.mcap", [*content, *back]))
    before, after = split(bag)
    assert before.instruction == after.instruction
    assert len(before.of(bag.states)) + len(after.of(bag.states)) == len(bag.states)


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
def test_a_broken_image_costs_its_frame_and_is_named(tmp_path, transport):
    content = messages(duration=2.0)
    content = packed(content) if transport == "compressed" else content
    broken = [m for t, topic, m in content if "wrist" in topic and t == 11.2]
    broken[0].data = np.full(7, 1, np.uint8)
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert [len(data.episode(index)) for index in range(len(data.episodes))] == [12, 8]
    assert "/camera/wrist/image_raw" in text and "at 11.200 s" in text and "is cut here" in text


def test_of_broken_images_each_costs_its_frame_whichever_camera_it_is_of(tmp_path):
    content = messages(duration=2.0)
    for time, topic, message in content:
        if ("front" in topic and time == 11.4) or ("wrist" in topic and time in (10.9, 11.0)):
            message.data = np.full(7, 1, np.uint8)
    data, text = convert(write(tmp_path / "a.mcap", content))
    assert [len(data.episode(index)) for index in range(len(data.episodes))] == [9, 3, 6]
    assert "/camera/wrist/image_raw at 10.900 s" in text and "(2 times)" in text
    assert "/camera/front/image_raw at 11.400 s" in text


def test_a_bag_without_one_readable_pair_of_images_is_refused(tmp_path):
    content = messages()
    for _, topic, message in content:
        if "wrist" in topic:
            message.data = np.full(7, 1, np.uint8)
    refuse(write(tmp_path / "a.mcap", content), "no usable frames.*is cut here")


def test_what_a_killed_conversion_left_is_no_hindrance(tmp_path):
    path = write(tmp_path / "a.mcap", messages())
    whole, _ = convert(path)
    (tmp_path / "again.partial").mkdir()
    shutil.copy(tmp_path / "dataset" / "meta" / "collection.json", tmp_path / "again.partial")
    (tmp_path / "again.partial" / "demo-0").mkdir()
    to_dataset(read_bag(path), tmp_path / "again")
    assert len(Dataset(tmp_path / "again").episodes) == len(whole.episodes)


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
