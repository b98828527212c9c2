"""A bag made by the simulator, without ROS: what the nodes would say in lockstep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vla_distill.bags.errors import BagError
from vla_distill.bags.message import MessageMaker
from vla_policy.bag_writer import BagWriter
from vla_policy.contract import Policy
from vla_policy.observation import StateHistory, assemble_observation, state_from_message
from vla_policy.player import ChunkPlayer
from vla_sim.constants import CONTROL_DT, STEP_DT
from vla_sim.gated_arm import GatedArm
from vla_sim.simulation import Simulation

RESET_GAP = 1.0
IMAGE_TICKS = round(STEP_DT / CONTROL_DT)


def record(
    policy: Policy, scenes: Sequence[tuple[str, int]], out: Path, replan_steps: int = 2
) -> dict[str, int]:
    """Let a policy act and record it.

    Args:
        policy: the policy; its noise has the scene's seed.
        scenes: task and seed of each episode.
        out: the ``.mcap`` file.
        replan_steps: a new chunk is asked for so many of its steps after the last.

    Returns:
        Messages by topic.

    Raises:
        BagError: there are no scenes.
    """
    if not scenes:
        raise BagError("scenes", got="none", expected="at least one")
    make, start = MessageMaker(), 1.0
    sim = Simulation(policy.image_size)
    try:
        with BagWriter(out) as bag:
            for task, seed in scenes:
                start = _episode(sim, policy, bag, make, task, seed, start, replan_steps)
    finally:
        sim.close()
    return bag.counts


def _episode(
    sim: Simulation,
    policy: Policy,
    bag: BagWriter,
    make: MessageMaker,
    task: str,
    seed: int,
    start: float,
    replan_steps: int,
) -> float:
    episode = sim.reset(task, seed)
    arm, history, player = GatedArm(sim), StateHistory(), ChunkPlayer()
    player.reset(arm.commanded())
    memory, images = policy.start(seed), {}
    bag.add("/episode_mark", make.mark(start, 0, episode.instruction, task, seed), start)
    bag.add("/instruction", make.text(episode.instruction), start)
    stamp, success = start, False
    for tick in range(round(episode.time_limit / CONTROL_DT)):
        stamp = round(start + tick * CONTROL_DT, 9)
        if tick % IMAGE_TICKS == 0:
            for name in sim.cameras:
                images[name] = make.image(stamp, name, sim.render(name))
                bag.add(f"/camera/{name}/image_raw", images[name], stamp)
        message = make.state(stamp, arm.state(), arm.commanded())
        bag.add("/ee_state", message, stamp)
        # As the node sees it, after the way through the message.
        history.add(stamp, state_from_message(message))
        if stamp >= player.next_due(replan_steps) - 1e-6:
            observation = assemble_observation(images, history.at, episode.instruction)
            chunk = policy.infer([observation], [memory])[0]
            player.add(chunk)
            bag.add("/action_chunk", make.chunk(chunk), stamp)
        target = player.sample(stamp)
        assert target is not None and player.newest is not None
        bag.add("/ee_command", make.command(stamp, target, player.newest.stamp), stamp)
        arm.act(target, stamp, player.newest.stamp)
        success = sim.status().success
        if success:
            break
    bag.add("/episode_mark", make.mark(stamp, 2 if success else 3), stamp)
    bag.add("/episode_mark", make.mark(stamp, 1), stamp)
    return round(stamp + RESET_GAP, 1)
