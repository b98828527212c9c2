"""The report of policies on a bag: ways where they belong, moments, a page without a network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_bag_scores import KnowingPolicy
from test_bags import CAMERAS, messages, write

from vla_distill.bags.content import read_bag
from vla_distill.bags.evaluation import judge
from vla_distill.bags.step import StepConfig
from vla_distill.errors import DistillError
from vla_distill.report.bag_page import Candidate, write_bag_page
from vla_distill.report.bag_pictures import COLORS, HEIGHT, EpisodePictures, worst_moments
from vla_distill.report.projection import calibrated_views, simulated_views
from vla_sim.simulation import Simulation

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bag")
    return read_bag(write(folder / "a.mcap", messages(duration=4.0)))


@pytest.fixture(scope="module")
def candidates(bag):
    return [
        Candidate("near", 2, judge(bag, KnowingPolicy(0.001), StepConfig())),
        Candidate("far", 4, judge(bag, KnowingPolicy(0.02), StepConfig(replan_steps=4))),
    ]


@pytest.mark.parametrize("camera", CAMERAS)
def test_points_appear_where_the_simulation_draws_them(camera):
    sim = Simulation(96)
    try:
        sim.reset("pick", 3)
        index = sim.model.camera(camera).id
        turn = sim.data.cam_xmat[index].reshape(3, 3)
        # A point ahead of the camera, up and to the right, by MuJoCo's own pose of it.
        point = sim.data.cam_xpos[index] + turn @ np.array([0.05, 0.08, -0.4])
        half = np.tan(0.5 * np.radians(float(sim.model.camera(camera).fovy[0])))
        wanted = [0.5 + 0.5 * 0.05 / 0.4 / half, 0.5 - 0.5 * 0.08 / 0.4 / half]
        tool = sim.privileged().commanded_pose()
    finally:
        sim.close()
    place = simulated_views("pick", 3)[camera].project(point[None], tool)
    assert place[0] == pytest.approx(wanted, abs=2e-3)


def test_points_behind_a_camera_are_not_drawn():
    view = simulated_views("", 0)["front"]
    assert np.isnan(view.project(np.array([[3.0, 0.0, 2.5]]), np.zeros(6))).all()


def test_calibrations_are_read_as_the_launch_file_of_the_real_arm_has_them(tmp_path):
    views = calibrated_views(ROOT / "config" / "cameras")
    assert sorted(views) == ["front", "wrist"]
    assert not views["front"].on_tool and views["wrist"].on_tool
    place = views["front"].project(np.array([[0.3, 0.0, 0.1]]), np.zeros(6))
    assert ((place > 0.0) & (place < 1.0)).all(), "the front camera looks at the workspace"
    (tmp_path / "extrinsics.yaml").write_text("front_camera_optical_frame: {parent: base_link}")
    (tmp_path / "front.yaml").write_text("image_width: 640")
    with pytest.raises(DistillError, match="front"):
        calibrated_views(tmp_path)
    with pytest.raises(DistillError, match=r"extrinsics\.yaml"):
        calibrated_views(tmp_path / "none")


def test_the_worst_moments_are_those_of_the_worse_policy_and_lie_apart(candidates):
    runs = [candidate.judgement.runs for candidate in candidates]
    moments = worst_moments(runs, [2, 4], 2)
    assert [moment.policy for moment in moments] == [1, 1]
    assert abs(moments[0].time - moments[1].time) > 1.9
    assert moments[0].error == pytest.approx(20.0, abs=0.1)


def test_ways_are_drawn_into_the_pictures(bag, candidates):
    each = [candidate.judgement.runs[0] for candidate in candidates]
    views = simulated_views("", 0)
    drawn = EpisodePictures(bag, each, views).at(11.0)
    plain = EpisodePictures(bag, each, {}).at(11.0)
    assert drawn is not None and plain is not None
    assert drawn.shape == plain.shape == (HEIGHT, 2 * HEIGHT, 3)
    front = (drawn != plain).any(axis=2)[:, :HEIGHT]
    assert front.any() and front.mean() < 0.2
    for color in COLORS:
        assert (np.abs(drawn.astype(int) - color).max(axis=2) < 12).any(), color


class Addresses(HTMLParser):
    """Everything that the page would fetch."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [v for k, v in attrs if k in ("src", "href", "poster") and v]


def test_the_page_holds_both_policies_and_needs_no_network(bag, candidates, tmp_path):
    path = tmp_path / "out" / "report.html"
    write_bag_page(path, bag, candidates, subtitle="step mode", facts={"seed": "0"})
    text = path.read_text()
    page = Addresses()
    page.feed(text)
    assert page.found and all(a.startswith(("data:", "#")) for a in page.found)
    assert not re.search(r"url\(\s*['\"]?http|@import", text)
    assert page.tags.count("video") >= 1 and page.tags.count("img") == 4
    assert page.tags.count("svg") == 5
    assert text.count("near") > 3 and text.count("far") > 3
    assert "20.00 mm" in text and "1.00 mm" in text
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
