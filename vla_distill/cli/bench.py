"""Count or time what a chunk costs; compare recipes, students and small datasets."""

from __future__ import annotations

from typing import Annotated

import tyro

from vla_distill.cli.benches import ablation, data, distillation, flops, latency, routing

Arguments = (
    Annotated[flops.Flops, tyro.conf.subcommand("flops")]
    | Annotated[latency.Latency, tyro.conf.subcommand("latency")]
    | Annotated[ablation.Ablation, tyro.conf.subcommand("ablation")]
    | Annotated[data.Data, tyro.conf.subcommand("data")]
    | Annotated[distillation.Distillation, tyro.conf.subcommand("distillation")]
    | Annotated[routing.Routing, tyro.conf.subcommand("routing")]
)
MAINS = {
    flops.Flops: flops.main,
    latency.Latency: latency.main,
    ablation.Ablation: ablation.main,
    data.Data: data.main,
    distillation.Distillation: distillation.main,
    routing.Routing: routing.main,
}


def main(arguments: Arguments) -> int:
    """Run the sub-verb."""
    return MAINS[type(arguments)](arguments)
