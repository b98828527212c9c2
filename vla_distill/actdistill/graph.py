"""Graph encapsulation: what the tokens after a layer mean, as one vector.

ActDistill, arXiv 2511.18082: nodes are token states, edges their similarities, two layers of graph
attention, attention pooling, an MLP. Other than in the release:

- The last node, the cognition token, which the head is told, asks in the pooling, with several
  heads, and is handed on itself.
- Similarities are scaled and go through a softmax over the top k; exp of the plain product
  overflows.
- States are projected first and one extractor serves all layers, told by an embedding which one it
  reads. With 4096-wide nodes and an extractor a layer the release's has 5.7 billion parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GraphAttention(nn.Module):
    """One layer of graph attention (arXiv 1710.10903, Eq. 1-6), residual and pre-norm.

    The edges' weights enter as a prior: their logarithms are added to the attention's logits.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.value = nn.Linear(width, width)
        self.source = nn.Parameter(torch.randn(heads, width // heads) * 0.1)
        self.target = nn.Parameter(torch.randn(heads, width // heads) * 0.1)
        self.out = nn.Linear(width, width)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Nodes (B, N, width) and logarithms of edges (B, N, N), -inf for none, to nodes."""
        value = self.value(self.norm(nodes)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        here = (value * self.target[:, None]).sum(-1)[..., :, None]
        there = (value * self.source[:, None]).sum(-1)[..., None, :]
        logits = nn.functional.leaky_relu(here + there, 0.2)
        weights = (logits + edges[:, None]).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return nodes + self.out(nn.functional.elu(mixed))


class AttentionPooling(nn.Module):
    """All nodes as one, by the attention of the last one."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, nodes: Tensor, present: Tensor) -> Tensor:
        """Nodes (B, N, width), False in ``present`` (B, N) where padded, to (B, width)."""
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(nodes[:, -1:]), self.key(nodes), self.value(nodes))
        )
        pooled = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=present[:, None, None]
        )
        return pooled.flatten(1)


class GraphEncapsulation(nn.Module):
    """Token states of any layer to its semantic vector.

    Args:
        width: of the states.
        layers: of the stack.
        graph_width, graph_layers, heads, edges: of the graph; without layers, nodes are only
            pooled.
        semantics: size of the vector.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        *,
        graph_width: int,
        graph_layers: int,
        heads: int,
        edges: int,
        semantics: int,
    ) -> None:
        super().__init__()
        self.edges = edges
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, graph_width)
        self.depth = nn.Parameter(torch.randn(layers, graph_width) * 0.1)
        self.phi = nn.Linear(graph_width, graph_width) if graph_layers else None
        self.psi = nn.Linear(graph_width, graph_width) if graph_layers else None
        self.blocks = nn.ModuleList(GraphAttention(graph_width, heads) for _ in range(graph_layers))
        self.pool = AttentionPooling(graph_width, heads)
        self.read = nn.Sequential(
            nn.LayerNorm(2 * graph_width),
            nn.Linear(2 * graph_width, semantics),
            nn.GELU(),
            nn.Linear(semantics, semantics),
        )

    def forward(self, states: Tensor, present: Tensor, layer: Tensor) -> Tensor:
        """Encapsulate.

        Args:
            states: after a layer. Shape (B, N, width).
            present: False where a row is padded. Shape (B, N), bool.
            layer: which one, for each row. Shape (B,), int64.

        Returns:
            Shape (B, semantics).
        """
        nodes = self.project(self.norm(states)) + self.depth[layer][:, None]
        if self.phi is not None and self.psi is not None:
            edges = log_edges(self.phi(nodes), self.psi(nodes), present, self.edges)
            for block in self.blocks:
                nodes = block(nodes, edges)
        return self.read(torch.cat([self.pool(nodes, present), nodes[:, -1]], dim=-1))


def log_edges(query: Tensor, key: Tensor, present: Tensor, count: int) -> Tensor:
    """Logarithms of a_ij = softmax over the top k of phi(h_i) . psi(h_j) / sqrt(width).

    Args:
        query, key: phi and psi of the nodes. Shape (B, N, width).
        present: nodes that may be neighbours. Shape (B, N), bool.
        count: k; fewer where fewer are present.

    Returns:
        Shape (B, N, N), -inf where there is no edge.
    """
    similarity = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5
    similarity = similarity.masked_fill(~present[:, None], -torch.inf)
    least = similarity.topk(min(count, similarity.shape[-1]), dim=-1).values[..., -1:]
    return similarity.masked_fill(similarity < least, -torch.inf).log_softmax(-1)
