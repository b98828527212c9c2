"""Look into a bag, convert it, make one in the simulator, or judge a policy on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from vla_distill.bags.fault import Fault

Source = Literal["auto", "command", "commanded", "measured"]


@dataclass(frozen=True)
class Info:
    """Tell what is in a bag: topics, parts, episodes, and what is wrong with it; exit code 2 if
    nothing in it can be read."""

    bag: tyro.conf.Positional[Path]
    """A rosbag2 folder, a .mcap or a .db3 file."""
    mapping: Path | None = None
    """YAML file that says which topic plays which part."""
    images: bool = False
    """Decode every image too, and name those that cannot be."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class ToDataset:
    """Make a LeRobot v3 dataset that `vla train` reads."""

    bag: tyro.conf.Positional[Path]
    """A rosbag2 folder, a .mcap or a .db3 file."""
    out: Path
    """Folder of the dataset; it appears when all is converted."""
    mapping: Path | None = None
    """YAML file that says which topic plays which part."""
    fps: int = 10
    """Frames a second; `vla train` wants 10."""
    image_size: int = 0
    """Side of square images [px]; 0 keeps the recorded size."""
    max_age: float = 0.25
    """An image older than this is missing [s]."""
    source: Source = "auto"
    """Where actions come from; auto sees whether an arm was guided by hand."""
    instruction: str = ""
    """What the arm was told, where the bag does not say."""
    only_success: bool = False
    """Leave out episodes that are not marked as a success."""


@dataclass(frozen=True)
class Sample:
    """Make a bag in the simulator, without ROS: a policy acts, everything is recorded."""

    out: Path
    """The .mcap file."""
    policy: Path = Path("checkpoints/teacher")
    """Folder of the policy."""
    scenes: tuple[str, ...] = ("reach:0", "pick:1")
    """TASK:SEED of each episode."""


@dataclass(frozen=True)
class Playable:
    """Make a bag ready for `bag_eval.launch.py`: which topic is what is settled, by episode."""

    bag: tyro.conf.Positional[Path]
    """A rosbag2 folder, a .mcap or a .db3 file."""
    out: Path
    """The .mcap file."""
    mapping: Path | None = None
    """YAML file that says which topic plays which part."""
    instruction: str = ""
    """What the arm was told, where the bag does not say."""


@dataclass(frozen=True)
class Eval:
    """Judge a policy on a bag in step mode, without ROS: what it would do against what was done."""

    bag: Path
    """A rosbag2 folder, a .mcap or a .db3 file."""
    policy: Path
    """Folder of the policy."""
    against: Path | None = None
    """Another policy, judged beside it."""
    json: Path | None = None
    """Write scores and timing here instead of on stdout."""
    out: Path | None = None
    """Folder for scores.json and report.html, a page that needs no network."""
    cameras: Path | None = None
    """Folder of calibrations as config/cameras: the ways are drawn into the pictures. A bag of the
    simulation needs none."""
    mapping: Path | None = None
    """YAML file that says which topic plays which part."""
    replan_steps: int = 2
    """Chunk steps after which a new chunk is asked for."""
    against_replan_steps: int = 0
    """Of the policy beside it; 0 takes the same."""
    compute: str = ""
    """What a chunk may cost, e.g. language_layers=6,visual_tokens=18; else as the recipe says."""
    against_compute: str = ""
    """Of the policy beside it, or of the same one beside itself."""
    answers: Path | None = None
    """What a live policy_node answered (bag_eval.launch.py): scored, nobody is asked."""
    image_period: float = 0.1
    """Time between images [s]."""
    seed: int = 0
    """Seed of the noise; with the stamp it gives each chunk's."""
    source: Source = "auto"
    """What the policy is compared with."""
    instruction: str = ""
    """What the arm was told, where the bag does not say."""
    device: str = "cpu"
    """Where the policies run."""


Arguments = (
    Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[ToDataset, tyro.conf.subcommand("to-dataset")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Playable, tyro.conf.subcommand("playable")]
    | Annotated[Sample, tyro.conf.subcommand("sample")]
)


def main(arguments: Arguments) -> int:
    """Run the sub-verb."""
    if isinstance(arguments, Info):
        return _info(arguments)
    if isinstance(arguments, ToDataset):
        return _to_dataset(arguments)
    if isinstance(arguments, Eval):
        return _eval(arguments)
    if isinstance(arguments, Playable):
        return _playable(arguments)
    return _sample(arguments)


def _read(path: Path, mapping: Path | None) -> Any:
    from vla_distill.bags.content import read_bag
    from vla_distill.bags.mapping import load_mapping

    told = load_mapping(mapping)
    with _bar("read messages") as tell:
        return read_bag(path, told, lambda count: tell(count, None))


def _info(arguments: Info) -> int:
    from vla_distill.bags.errors import BagError
    from vla_distill.bags.info import describe, print_info

    bag = _read(arguments.bag, arguments.mapping)
    if not bag.topics:
        raise BagError(
            f"bag {arguments.bag}", got="; ".join(map(str, bag.faults)), expected="messages"
        )
    with _bar("decode images") as tell:
        found = describe(bag, tell if arguments.images else None)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print_info(found)
    return 0


def _to_dataset(arguments: ToDataset) -> int:
    from vla_distill.bags.to_dataset import ConversionConfig, to_dataset

    side = arguments.image_size
    config = ConversionConfig(
        fps=arguments.fps,
        image_size=(side, side) if side else None,
        max_age=arguments.max_age,
        source=arguments.source,
        instruction=arguments.instruction,
        only_success=arguments.only_success,
    )
    bag = _read(arguments.bag, arguments.mapping)
    with _bar("convert episodes") as tell:
        summary, faults = to_dataset(bag, arguments.out, config, tell)
    print(json.dumps(summary | {"left_out": [fault.as_dict() for fault in faults]}, indent=1))
    return 0


def _sample(arguments: Sample) -> int:
    from vla_distill.bags.errors import BagError
    from vla_distill.bags.simulated import record
    from vla_policy.checkpoint import load_policy

    scenes = []
    for text in arguments.scenes:
        task, _, seed = text.partition(":")
        if not task or not seed.isdecimal():
            raise BagError("--scenes", got=repr(text), expected="TASK:SEED, e.g. pick:3")
        scenes.append((task, int(seed)))
    counts = record(load_policy(arguments.policy), scenes, arguments.out)
    size = arguments.out.stat().st_size
    print(json.dumps({"bag": str(arguments.out), "bytes": size, "messages": counts}, indent=1))
    return 0


def _playable(arguments: Playable) -> int:
    from vla_distill.bags.playable import write_playable

    bag = _read(arguments.bag, arguments.mapping)
    _warn(bag.faults)
    _warn(write_playable(bag, arguments.out, arguments.instruction))
    return 0


def _eval(arguments: Eval) -> int:
    from vla_distill.bags.comparison import Comparison
    from vla_distill.bags.contender import Contender, parse_compute
    from vla_distill.bags.errors import BagError

    compute = parse_compute(arguments.compute)
    contenders = [Contender(arguments.policy, arguments.replan_steps, compute)]
    if arguments.against or arguments.against_replan_steps or arguments.against_compute:
        steps = arguments.against_replan_steps or arguments.replan_steps
        other = parse_compute(arguments.against_compute)
        contenders.append(Contender(arguments.against or arguments.policy, steps, other))
    if arguments.answers and (compute or len(contenders) > 1):
        raise BagError("--answers", got="with --against or --compute", expected="the node's policy")
    comparison = Comparison(
        _read(arguments.bag, arguments.mapping),
        image_period=arguments.image_period,
        seed=arguments.seed,
        source=arguments.source,
        instruction=arguments.instruction,
        device=arguments.device,
    )
    with _bar("chunks of the episode") as tell:
        if arguments.answers:
            comparison.take(contenders[0], arguments.answers)
        else:
            for contender in contenders:
                comparison.ask(contender, lambda count: tell(count, None))
    _warn(comparison.faults)
    text = json.dumps(comparison.record(), indent=1, sort_keys=True) + "\n"
    if arguments.json is None and arguments.out is None:
        print(text, end="")
        return 0
    places = [arguments.json] if arguments.json else []
    if arguments.out:
        comparison.write_report(arguments.out / "report.html", arguments.cameras)
        places.append(arguments.out / "scores.json")
        print(arguments.out / "report.html")
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return 0


def _warn(faults: Iterable[Fault]) -> None:
    for fault in faults:
        print(f"warning: {fault}", file=sys.stderr)


class _bar:
    """A progress bar on stderr, where that is a terminal."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Callable[[int, int | None], None]:
        self._bar.start()
        return lambda done, total: self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
