"""The settings of the nodes: each field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass

from vla_policy.chunking import CHUNKINGS
from vla_policy_node.compute_settings import ComputeSettings
from vla_policy_node.parameters import setting


@dataclass(frozen=True)
class PolicySettings(ComputeSettings):
    """Parameters of policy_node."""

    policy: str = setting(
        "teacher",
        "checkpoint folder, a name under the package's share/checkpoints, or "
        "python:module.function for a function that returns a Policy",
    )
    policy_host: str = setting(
        "", "machine on which `vla serve` runs the policy; empty runs it here, as `policy` says"
    )
    policy_port: int = setting(8000, "port of that machine", low=1, high=65535)
    policy_timeout: float = setting(
        2.0,
        "a policy_host that has not answered for so long is taken for lost, and called anew",
        unit="s",
        low=0.05,
        high=60.0,
    )
    instruction: str = setting(
        "", "instruction followed as soon as the arm is ready; empty waits for one"
    )
    seed: int = setting(
        0, "seed of the policy's noise, the same for every goal", low=0, high=2**31 - 1, live=True
    )
    device: str = setting("cpu", "torch device that the policy runs on, e.g. cpu or cuda:0")
    torch_threads: int = setting(
        0,
        "threads that torch may use; 0: what OMP_NUM_THREADS says, or else all cores but one",
        low=0,
        high=256,
    )
    torch_compile: bool = setting(
        False,
        "compile the policy before the node is active, which takes up to a minute; what cannot be "
        "compiled runs plain, with a warning",
    )
    synchronous: bool = setting(
        False, "wait for the chunk that is due before answering (with a simulator in lockstep)"
    )
    replan_steps: int = setting(
        2, "a new chunk is wanted so many chunk steps after the last", low=1, high=64, live=True
    )
    chunking: str = setting(
        "switch",
        "how a new chunk takes over from the old one. switch: from the last command on; fade: "
        "within 0.2 s; ensemble: the mean of both; rtc: computed to go on from it (real-time "
        "chunking)",
        choices=sorted(CHUNKINGS),
    )
    image_transport: str = setting(
        "raw",
        "raw: camera/<name>/image_raw (Image); compressed: camera/<name>/image_raw/compressed",
        choices=("raw", "compressed"),
    )
    image_timeout: float = setting(
        0.25,
        "images older than this, by stamp or by arrival, hold the arm",
        unit="s",
        low=0.02,
        high=10.0,
        live=True,
    )
    image_period: float = setting(
        0.1,
        "time between images; a synchronous policy waits for an image that must be under way",
        unit="s",
        low=0.001,
        high=10.0,
    )
    synchronous_timeout: float = setting(
        5.0,
        "a synchronous policy that waited so long for a chunk holds the arm",
        unit="s",
        low=0.1,
        high=600.0,
    )
    synchronous_image_timeout: float = setting(
        5.0,
        "a synchronous policy that waited so long for images holds the arm",
        unit="s",
        low=0.1,
        high=600.0,
    )
    reliable_images: bool = setting(
        False, "ask for every image, so that a player of bags knows when one has come"
    )
    seed_by_stamp: bool = setting(
        False, "a chunk's noise hangs on its observation's stamp too, so that a replay repeats it"
    )
    time_limit: float = setting(
        30.0, "time limit of a goal that names none", unit="s", low=0.1, high=3600.0, live=True
    )
    refusal_timeout: float = setting(
        2.0,
        "commands that the arm refuses for so long abort the goal",
        unit="s",
        low=0.1,
        high=60.0,
        live=True,
    )
    warm_up: int = setting(2, "inferences made before the node is active", low=0, high=100)


@dataclass(frozen=True)
class ArmSettings:
    """Parameters of arm_node."""

    arm: str = setting("X5", "arm model, a name of the joint table", choices=("X5", "L5"))
    backend: str = setting("joint_topics", "what carries the joint targets to the arm")
    lockstep: bool = setting(
        False, "judge time-outs by stamps alone: the simulator waits for every command"
    )
    command_timeout: float = setting(
        0.2,
        "without an ee_command for so long, the arm holds",
        unit="s",
        low=0.02,
        high=2.0,
    )
    joint_states_timeout: float = setting(
        0.2, "without joint_states for so long, the arm holds", unit="s", low=0.02, high=2.0
    )
    restart_gap: float = setting(
        0.5,
        "after a jump of the joint_states' stamps by more than this, or back, the commanded pose "
        "starts again from the measured one",
        unit="s",
        low=0.1,
        high=60.0,
    )
    home_speed: float = setting(
        0.8, "greatest joint speed of the motion home", unit="rad/s", low=0.05, high=3.0
    )
    hardware_mode: str = setting(
        "full",
        "slow: speeds times slow_scale; of the backend arx5 only, which must be told: dry_run: "
        "nothing is sent; teach: the arm is guided by hand",
        choices=("dry_run", "slow", "full", "teach"),
    )
    can_interface: str = setting("can0", "CAN interface of the backend arx5")
    slow_scale: float = setting(
        0.2, "share of the speed limits in hardware_mode slow", low=0.01, high=1.0
    )
    controller: str = setting(
        "", "name of the ros2_control controller or MoveIt Servo node that the backend speaks to"
    )
    workspace_min_x: float = setting(
        0.08,
        "least x of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    workspace_min_y: float = setting(
        -0.4,
        "least y of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    workspace_min_z: float = setting(
        0.0,
        "least z of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    workspace_max_x: float = setting(
        0.6,
        "greatest x of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    workspace_max_y: float = setting(
        0.4,
        "greatest y of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    workspace_max_z: float = setting(
        0.5,
        "greatest z of the tool point",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    table_z: float = setting(
        0.0,
        "height of the table in base_link",
        unit="m",
        low=-1.0,
        high=1.0,
        live=True,
    )
    linear_speed: float = setting(
        0.6,
        "greatest speed of the tool point",
        unit="m/s",
        low=0.001,
        high=1.5,
        live=True,
    )
    angular_speed: float = setting(
        3.0,
        "greatest turning speed of the tool",
        unit="rad/s",
        low=0.01,
        high=6.0,
        live=True,
    )
    joint_speed_scale: float = setting(
        1.0,
        "share of the joint table's speeds",
        low=0.01,
        high=1.0,
        live=True,
    )
    torque_scale: float = setting(
        1.0,
        "share of the joint table's torques above which the arm is damped (arx5)",
        low=0.05,
        high=1.0,
        live=True,
    )
    gripper_rate: float = setting(
        0.25,
        "greatest change of the opening",
        unit="m/s",
        low=0.001,
        high=0.3,
        live=True,
    )
    orientation_jump: float = setting(
        1.0,
        "greatest turn between the last commanded orientation and a target",
        unit="rad",
        low=0.01,
        high=3.2,
        live=True,
    )
    observation_timeout: float = setting(
        1.0,
        "oldest observation that a command may rest on",
        unit="s",
        low=0.05,
        high=5.0,
        live=True,
    )
    self_collision: bool = setting(
        True,
        "refuse configurations in which the arm touches itself",
        live=True,
    )
    publish_tf: bool = setting(
        True, "publish base_link -> eef_link on /tf (off where robot_state_publisher does)"
    )
    base_frame: str = setting("base_link", "frame of all poses")
    tool_frame: str = setting("eef_link", "frame that the poses place")


@dataclass(frozen=True)
class SimSettings:
    """Parameters of sim_node."""

    task: str = setting("pick", "task of the first episode, one of the suite's ten")
    seed: int = setting(0, "seed of the first episode", low=0, high=2**31 - 1)
    instructions: str = setting(
        "train",
        "which phrasings the instruction is drawn from",
        choices=("train", "new_sentences", "new_words"),
    )
    mode: str = setting(
        "paced",
        "paced: physics follows the wall clock; lockstep: each tick waits for its joint target",
        choices=("paced", "lockstep"),
    )
    speed: float = setting(
        1.0, "simulated seconds in a wall-clock second (paced)", unit="1", low=0.05, high=20.0
    )
    image_size: int = setting(96, "side of the square camera images", unit="px", low=16, high=1024)
    paused: bool = setting(False, "stand still: time does not go on", live=True)
    expert: bool = setting(False, "the scripted expert answers ee_state, in place of policy_node")
    publish_clock: bool = setting(
        True, "stamps are simulated time, published on /clock; else they are wall-clock time"
    )
    viewer: bool = setting(False, "open MuJoCo's passive viewer, where there is a screen")


@dataclass(frozen=True)
class RecorderSettings:
    """Parameters of recorder_node."""

    bag: str = setting("", "the bag, a new file ending in .mcap; empty names it by date and time")
    cameras: tuple[str, ...] = setting(("front", "wrist"), "cameras that are recorded")
    image_transport: str = setting(
        "raw",
        "raw: camera/<name>/image_raw (Image); compressed: camera/<name>/image_raw/compressed",
        choices=("raw", "compressed"),
    )
    compress: bool = setting(True, "pack the bag with zstd")
    instruction: str = setting(
        "", "what the arm is told, in marks that the services make", live=True
    )
    task: str = setting("", "name of the task, in marks that the services make", live=True)
