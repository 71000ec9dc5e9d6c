"""The choice of experts, against torch's softmax and sort."""

import pytest
import torch

from sharkpack.templates import ops
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.routing import route
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.weights import error

CASES = [(8, 2, True), (16, 1, False), (60, 4, False), (128, 8, True), (3, 3, True)]
"""(experts, chosen, normalised): Mixtral's, a single choice, Qwen2's and Qwen3's, and all there are."""


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
def test_the_top_k_experts_and_their_weights(isa: Isa) -> None:
    kernels = {case: route(case[0], case[1], normalise=case[2]) for case in CASES}
    runner = KernelRunner(list(kernels.values()), isa)
    for (experts, top_k, normalise), kernel in kernels.items():
        for rows in (1, 4, 7):
            logits = 5 * torch.randn(rows, experts, generator=torch.Generator().manual_seed(rows))
            chosen, weights = runner(kernel, logits)
            sort = logits.double().softmax(-1).sort(-1, descending=True)
            wanted = sort.values[:, :top_k]
            wanted = wanted / wanted.sum(-1, keepdim=True) if normalise else wanted
            assert (chosen == sort.indices[:, :top_k].numpy()).all()
            assert error(weights, wanted) < 1e-6
            for found, eager in zip((chosen, weights), ops.route(logits, top_k, normalise), strict=True):
                assert error(found, eager) < 1e-6


def test_equal_and_broken_logits_stay_within_the_experts() -> None:
    isa = unlike_isas_here()[-1]
    kernel = route(5, 3, normalise=True)
    logits = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0], [torch.nan] * 5, [-1e9, 0.0, -1e9, -1e9, -1e9]])
    chosen, weights = KernelRunner([kernel], isa)(kernel, logits)
    assert chosen[0].tolist() == [0, 1, 2]
    assert error(weights[0], torch.full((3,), 1 / 3)) < 1e-6
    assert chosen.min() >= 0
    assert chosen.max() < 5
    assert chosen[2].tolist() == [1, 0, 2]
