"""The modules of mixtures of experts: a router, and a stack of experts for each of three matmuls."""

from collections.abc import Mapping

from sharkpack.bundler.sources.huggingface.checkpoint_map import ATTENTION, OUTER

AROUND: Mapping[str, str] = {
    **OUTER,
    **ATTENTION,
    "model.layers.{}.post_attention_layernorm": "blk.{}.ffn_norm",
}
"""A decoder's modules without its feed-forward part."""

IGNORED = frozenset({"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"})
"""Of training."""


def stacks(block: str, router: str, gate: str, up: str, down: str) -> Mapping[str, str]:
    """Returns the modules of a mixture `block` whose router and whose experts' matmuls have those names."""
    return {
        f"model.layers.{{}}.{block}.{router}": "blk.{}.ffn_gate_inp",
        f"model.layers.{{}}.{block}.experts.{{}}.{gate}": "blk.{}.ffn_gate_exps",
        f"model.layers.{{}}.{block}.experts.{{}}.{up}": "blk.{}.ffn_up_exps",
        f"model.layers.{{}}.{block}.experts.{{}}.{down}": "blk.{}.ffn_down_exps",
    }
