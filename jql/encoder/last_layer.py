"""The last layer of a gte encoder for the tokens that are pooled: of the others nothing but keys and values is needed.

Of twelve layers it saves a twelfth of the attention and 7 % of the matrix work. Shape letters: T tokens of a pack,
N sequences, A heads, E dimensions of a head, D of the model.
"""

from functools import cache
from typing import Any

from jql.encoder.attention import attend_rows


def has_last_layer(net: Any, pooling: str) -> bool:
    """Whether a model is one whose last layer can be had for the pooled tokens only."""
    return net.config.model_type == "gte" and pooling in ("cls", "last")


def keep_pooled(net: Any, pooling: str) -> None:
    """Make a gte model end with the vectors of the pooled tokens, (1, N, D) in the place of (1, T, D)."""
    net.layers[-1] = _pooled_layer()(net.layers[-1], pooling)


@cache
def _pooled_layer() -> Any:
    import torch
    from transformers.models.gte.modeling_gte import rotate_half

    class PooledLayer(torch.nn.Module):
        """A GteLayer, computed for one token of each sequence."""

        def __init__(self, layer: Any, pooling: str) -> None:
            super().__init__()
            self.layer, self.first = layer, pooling == "cls"

        def forward(
            self,
            hidden_1TD: torch.Tensor,
            attention_mask: None = None,
            position_embeddings: Any = None,
            cu_seq_lens_q: Any = None,
            max_length_q: int = 0,
            **_: Any,
        ) -> torch.Tensor:
            """(1, N, D)."""
            layer, attention = self.layer, self.layer.self_attn
            rows_N = cu_seq_lens_q[:-1] if self.first else cu_seq_lens_q[1:] - 1
            # Empty sequences, which fill a pack up, have no token; they get some row, which nobody reads.
            rows_N = rows_N.long().clamp(0, hidden_1TD.shape[1] - 1)
            asking_1ND = hidden_1TD[:, rows_N]

            def heads(x: torch.Tensor) -> torch.Tensor:
                return x.view(*x.shape[:2], -1, attention.head_dim).transpose(1, 2)

            def turned(x: torch.Tensor, places: Any) -> torch.Tensor:
                cos, sin = (angle[:, places].unsqueeze(1) for angle in position_embeddings)
                half: torch.Tensor = rotate_half(x)  # type: ignore[no-untyped-call]
                angled: torch.Tensor = x * cos + half * sin
                return angled

            query_1ANE = turned(heads(attention.q_proj(asking_1ND)), rows_N)
            key_1ATE = turned(heads(attention.k_proj(hidden_1TD)), slice(None))
            value_1ATE = heads(attention.v_proj(hidden_1TD))
            seen_1NAE = attend_rows(query_1ANE, key_1ATE, value_1ATE, attention.scaling, cu_seq_lens_q, max_length_q)
            mixed_1ND = attention.o_proj(seen_1NAE.flatten(2).contiguous())
            hidden_1ND = layer.post_attention_layernorm(asking_1ND + mixed_1ND)
            out: torch.Tensor = layer.post_mlp_layernorm(hidden_1ND + layer.mlp(hidden_1ND))
            return out

    return PooledLayer
