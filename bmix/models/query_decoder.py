"""The Transformer-decoder head: queries look at the places of a feature map, each for its classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

EMBEDDING = 768
ATTENTION_HEADS = 8
FEEDFORWARD = 2048


class QueryDecoder(nn.Module):
    """ML-Decoder (Ridnik et al. 2021): features (B, C, H, W) float to logits (B, class_count), without dropout.

    Every place is projected to 768 numbers with ReLU. `query_count` queries attend to the places, 8 heads, then pass a
    feed-forward layer of 2048; a residual connection and layer norm follow each. Queries do not see each other, and
    places have no position encoding. The queries are drawn once and fixed, as in ML-Decoder (in Query2Label, Liu et al.
    2021, they are learnt): what is learnt is where they look. Each query has a linear layer of its own to the logits of
    its group: consecutive classes, the groups' sizes differing by at most one; one query per class where query_count is
    class_count.
    """

    def __init__(self, channels: int, class_count: int, query_count: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, EMBEDDING)
        self.register_buffer("queries", torch.randn(query_count, EMBEDDING))
        self.query_norm = nn.LayerNorm(EMBEDDING)
        self.attention = nn.MultiheadAttention(EMBEDDING, ATTENTION_HEADS, batch_first=True)
        self.attention_norm = nn.LayerNorm(EMBEDDING)
        self.feedforward = nn.Sequential(
            nn.Linear(EMBEDDING, FEEDFORWARD), nn.ReLU(), nn.Linear(FEEDFORWARD, EMBEDDING)
        )
        self.feedforward_norm = nn.LayerNorm(EMBEDDING)
        largest = math.ceil(class_count / query_count)
        bound = EMBEDDING**-0.5
        self.weight = nn.Parameter(torch.empty(query_count, EMBEDDING, largest).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(class_count).uniform_(-bound, bound))
        self.register_buffer("columns", _columns(class_count, query_count), persistent=False)
        self.class_tensors = ("weight", "bias", *(("queries",) if query_count == class_count else ()))

    queries: Tensor
    columns: Tensor

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Features (B, C, H, W) to logits (B, K)."""
        places_BPE = self.projection(features_BCHW.flatten(2).transpose(1, 2)).relu()
        queries_BQE = self.query_norm(self.queries).expand(places_BPE.shape[0], -1, -1)
        # With its weights asked for, attention is matrix products and a softmax: the fused kernels, taken otherwise,
        # sum in no fixed order in their backward pass on a GPU.
        attended_BQE, _ = self.attention(queries_BQE, places_BPE, places_BPE, need_weights=True)
        queries_BQE = self.attention_norm(queries_BQE + attended_BQE)
        queries_BQE = self.feedforward_norm(queries_BQE + self.feedforward(queries_BQE))
        logits_BQG = torch.einsum("bqe,qeg->bqg", queries_BQE, self.weight)
        return logits_BQG.flatten(1)[:, self.columns] + self.bias


def _columns(class_count: int, query_count: int) -> Tensor:
    """Where each class lies among query_count × ceil(class_count / query_count) logits: int64 (K,)."""
    group_K = torch.arange(class_count) * query_count // class_count
    first_K = torch.searchsorted(group_K, group_K)
    return group_K * math.ceil(class_count / query_count) + torch.arange(class_count) - first_K
