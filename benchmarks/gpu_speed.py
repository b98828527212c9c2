"""How fast EfficientVLA's rows are at a given size: random weights, one observation, by stage.

python benchmarks/gpu_speed.py                              # CogACT-Base in bfloat16, on a GPU
python benchmarks/gpu_speed.py --device cpu --preset deep --recipes efficientvla --text 8 \
    --json runs/speed.json                                  # the shipped teacher's sizes

On a GPU every row is timed twice, launched kernel by kernel and replayed as CUDA graphs, the plain
policy too: a speed-up compares rows of one treatment. Rows take turns, so that all meet the same
disturbances. What is removed does not depend on the weights, so random ones cost the same; layers
are removed from the deepest up, as benchmarks/efficientvla_flops.py counts them.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from vla_distill.benchmark.flops import TEXT_TOKENS, ranked
from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import percentiles
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import read_recipe
from vla_policy.model.actions import ACTION_SIZE, STATE_FEATURES
from vla_policy.model.config import ModelConfig, preset
from vla_policy.model.network import VlaNetwork

STAGES = ("vision", "language", "head")
WARM_UP = 5
Work = Callable[[], Any]


@dataclass(frozen=True)
class Arguments:
    """Time a chunk's stages with each recipe."""

    preset: str = "cogact_base"
    """Sizes of the network."""
    recipes: str = "l28_t112,l22_t112,l28_t56,l22_t56"
    """Recipes beside the plain policy, separated by commas."""
    device: str = "cuda"
    """Where to compute: cuda (in bfloat16) or cpu (in float32)."""
    chunks: int = 50
    """How many to time of each row."""
    text: int = TEXT_TOKENS
    """Tokens of the instruction."""
    json: Path = Path("benchmarks/results/gpu_speed.json")
    """Where the numbers go."""


class Row:
    """The stages of one recipe, each with its inputs at hand.

    Args:
        network: with random weights; as narrow as the recipe makes it.
        recipe: its name.
        text: tokens of the instruction.
    """

    def __init__(self, network: VlaNetwork, recipe: str, text: int) -> None:
        config = network.config
        weight = next(network.parameters())
        like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        plan = RecipePlan(config, ranked(read_recipe(recipe), config.language.layers)).begin(())
        size = config.image_size
        images = torch.rand(1, len(config.cameras), 3, size, size, **like)
        words = torch.zeros(1, text, dtype=torch.int64, device=weight.device)
        state = torch.zeros(1, STATE_FEATURES, **like)
        noise = torch.randn(1, config.horizon, ACTION_SIZE, **like)
        visual = network.see(images)
        tokens = network.think(visual, words, words == 0, state, plan).tokens
        self.stages: dict[str, Callable[[], Tensor]] = {
            "vision": lambda: network.see(images),
            "language": lambda: network.think(visual, words, words == 0, state, plan).tokens,
            "head": lambda: network.head.sample(noise, tokens, plan)[0],
        }


def networks(config: ModelConfig, recipes: Sequence[str], device: str) -> dict[str, VlaNetwork]:
    """A network for each recipe, with random weights; recipes of one width share it."""
    by_width: dict[int, VlaNetwork] = {}
    found = {}
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    for name in recipes:
        width = read_recipe(name).method("mlp_width")
        narrow = width.narrowed(config) if width else config
        key = narrow.language.mlp_width
        if key not in by_width:
            with torch.device(device):  # where 7 billion random numbers take no time
                by_width[key] = VlaNetwork(narrow).eval().to(dtype)
        found[name] = by_width[key]
    return found


def captured(work: Work) -> Work:
    """The same kernels as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = work()

    def replay(keeps: Any = kept) -> None:
        """What the graph writes to lives as long as it can be replayed."""
        graph.replay()

    return replay


def time_in_turns(
    rows: dict[str, dict[str, Work]], chunks: int, wait: Work
) -> dict[str, dict[str, Mapping[str, float]]]:
    """Median, p95, p99 and max of each stage and of all together [ms]; ``wait`` ends each."""
    spans: dict[str, dict[str, list[float]]] = {
        name: {stage: [] for stage in (*STAGES, "total")} for name in rows
    }
    for number in range(WARM_UP + chunks):
        for name, stages in rows.items():
            wait()
            marks = [time.perf_counter()]
            for stage in STAGES:
                stages[stage]()
                wait()
                marks.append(time.perf_counter())
            if number < WARM_UP:
                continue
            for stage, begin, end in zip(STAGES, marks, marks[1:], strict=False):
                spans[name][stage].append(1e3 * (end - begin))
            spans[name]["total"].append(1e3 * (marks[-1] - marks[0]))
    return {
        name: {stage: percentiles(each) for stage, each in by_stage.items()}
        for name, by_stage in spans.items()
    }


@torch.inference_mode()
def main() -> None:
    """Time, print and write."""
    arguments = tyro.cli(Arguments)
    names = ["plain", *arguments.recipes.split(",")]
    on_gpu = arguments.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():  # `make bench` comes by here too
        print("no GPU here: nothing is timed; see --device cpu in this file")
        return
    wait: Work = torch.cuda.synchronize if on_gpu else (lambda: None)
    made = networks(preset(arguments.preset), names, arguments.device)
    rows = {name: Row(made[name], name, arguments.text).stages for name in names}
    treatments: dict[str, dict[str, dict[str, Work]]] = {"kernels": dict(rows)}
    if on_gpu:
        treatments["graphs"] = {
            name: {stage: captured(work) for stage, work in stages.items()}
            for name, stages in rows.items()
        }
    record: dict[str, Any] = {
        "preset": arguments.preset,
        "dtype": str(next(made["plain"].parameters()).dtype).removeprefix("torch."),
        "text_tokens": arguments.text,
        "chunks": arguments.chunks,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    for treatment, each in treatments.items():
        gc.collect()
        found = time_in_turns(each, arguments.chunks, wait)
        base = found["plain"]["total"]["median"]
        for name, stages in found.items():
            parts = " + ".join(f"{stages[stage]['median']:.2f}" for stage in STAGES)
            total = stages["total"]
            print(
                f"{treatment}: {name}: {parts} = {total['median']:.2f} ms (p95"
                f" {total['p95']:.2f}), {base / total['median']:.2f} times as fast",
                flush=True,
            )
        record[treatment] = {
            name: {"speedup": base / stages["total"]["median"], **stages}
            for name, stages in found.items()
        }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
