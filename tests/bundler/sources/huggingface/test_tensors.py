"""Changes of stored tensors on their way to a recipe: scales of 8-bit floats, stacks of experts, transforms."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sharkpack.bundler.sources import SourceModel, open_source
from sharkpack.bundler.sources.huggingface import maps
from sharkpack.bundler.sources.huggingface.checkpoint_map import DECODER, CheckpointMap
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from tests.tiny_checkpoints import edit_json, write_checkpoint

UP = "model.layers.0.mlp.up_proj"
Tensors = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A llama whose feed-forward part is 300 wide: no multiple of a block of 128."""
    sizes: dict[str, Any] = {"num_hidden_layers": 1, "intermediate_size": 300}
    return write_checkpoint(tmp_path / "model", dtype="bfloat16", tie_word_embeddings=True, **sizes)


def _edit(folder: Path, change: Callable[[Tensors], object]) -> Tensors:
    """Change the tensors of the checkpoint in place; return them."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    return tensors


def _values(source: SourceModel, name: str) -> np.ndarray[Any, Any]:
    tensor = source.tensor(name)
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize(
    ("suffix", "grid", "block"),
    [
        ("weight_scale_inv", (3, 1), [128, 128]),
        ("weight_scale", (300, 1), None),
        ("weight_scale", (300,), None),
        ("weight_scale", (1,), None),
        ("weight_scale", (), None),
        ("weight_scale_inv", (3, 2), None),
    ],
)
def test_eight_bit_floats_are_multiplied_by_their_scales(
    folder: Path, dtype: torch.dtype, suffix: str, grid: tuple[int, ...], block: list[int] | None
) -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{UP}.weight"] = (tensors[f"{UP}.weight"] * 10).to(dtype)
        tensors[f"{UP}.{suffix}"] = torch.rand(grid, generator=torch.Generator().manual_seed(1)) + 0.5
        tensors[f"{UP}.input_scale"] = torch.ones(1)

    tensors = _edit(folder, change)
    edit_json(folder / "config.json", quantization_config={"quant_method": "fp8", "weight_block_size": block})
    scale = tensors[f"{UP}.{suffix}"]
    scale = scale.reshape(-1, scale.shape[1] if scale.ndim == 2 else 1)
    rows, columns = block or (300 // scale.shape[0], 128 // scale.shape[1])
    spread = scale.repeat_interleave(rows, 0)[:300].repeat_interleave(columns, 1)[:, :128]
    wanted = tensors[f"{UP}.weight"].float() * spread
    with open_source(str(folder)) as source:
        np.testing.assert_array_equal(_values(source, "blk.0.ffn_up.weight"), wanted.numpy())
        some = source.tensor("blk.0.ffn_up.weight").rows(np.array([299, 0, 130])).view("<f4")
        np.testing.assert_array_equal(some, wanted[[299, 0, 130]].numpy())


def test_scales_that_fit_no_matrix_are_refused(folder: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{UP}.weight"] = tensors[f"{UP}.weight"].to(torch.float8_e4m3fn)
        tensors[f"{UP}.weight_scale"] = torch.ones(7, 1)

    _edit(folder, change)
    with pytest.raises(SharkpackError, match=r"weight_scale' of shape \[7, 1\] cannot scale one of \[300, 128\]"):
        open_source(str(folder))


EXPERTS = CheckpointMap(
    model_types=("experts",),
    architecture="llama",
    defaults={"tie_word_embeddings": False},
    ignores=frozenset({"hidden_act", "mlp_bias", "attention_bias"}),
    modules={**DECODER, "model.layers.{}.experts.{}.up": "blk.{}.ffn_up_exps"},
)


def _add_experts(folder: Path, numbers: list[int]) -> Tensors:
    def change(tensors: Tensors) -> None:
        for number in numbers:
            tensors[f"model.layers.0.experts.{number}.up.weight"] = torch.randn(6, 4).to(torch.bfloat16)

    edit_json(folder / "config.json", model_type="experts")
    return _edit(folder, change)


def test_experts_are_one_stack_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maps.MAPS, "experts", EXPERTS)
    tensors = _add_experts(folder, list(range(12)))  # by name, 10 comes before 2
    wanted = torch.stack([tensors[f"model.layers.0.experts.{n}.up.weight"].float() for n in range(12)]).numpy()
    with open_source(str(folder)) as source:
        stack = source.tensor("blk.0.ffn_up_exps.weight")
        assert (stack.shape, stack.type_name, stack.nbytes) == ((12, 6, 4), "BF16", 12 * 6 * 4 * 2)
        np.testing.assert_array_equal(_values(source, stack.name), wanted)
        index = np.array([71, 3, 5, 6, 0])
        rows = dequantize("BF16", stack.rows(index).reshape(-1), (5, 4))
        np.testing.assert_array_equal(rows, wanted.reshape(72, 4)[index])
        assert stack.rows(slice(5, 8)).shape == (3, 8)
        stack.release()


def test_a_stack_with_a_hole_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maps.MAPS, "experts", EXPERTS)
    _add_experts(folder, [0, 1, 3])
    with pytest.raises(SharkpackError, match=r"experts\.0\.up\.weight', number 2 is missing"):
        open_source(str(folder))


def test_the_hash_of_a_folder_is_what_sha256sum_gives(folder: Path) -> None:
    names = sorted(["config.json", "model.safetensors"])
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    with open_source(str(folder)) as source:
        assert source.sha256() == hashlib.sha256(lines.encode()).hexdigest()
        assert source.size == (folder / "model.safetensors").stat().st_size


def test_a_copy_of_a_tied_head_is_left_out(folder: Path) -> None:
    _edit(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}))
    with open_source(str(folder)) as source:
        assert "output.weight" not in source.tensors
        assert source.quantization == "BF16"


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlanguage: en\nlicense: 'other'\nlicense_name: mine\n---\n", "mine"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: x\n---\nlicense: mit\n", None),
        ("# license: mit\n", None),
    ],
)
def test_the_licence_is_what_the_readme_declares(folder: Path, text: str, declared: str | None) -> None:
    (folder / "README.md").write_text(text, "utf-8")
    with open_source(str(folder)) as source:
        assert source.license == declared


def test_errors_call_tensors_by_the_names_of_the_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maps.MAPS, "experts", EXPERTS)
    _add_experts(folder, [0])
    with open_source(str(folder)) as source:
        assert source.stored_name("blk.3.ffn_up.bias") == "model.layers.3.mlp.up_proj.bias"
        assert source.stored_name("blk.3.ffn_up_exps.weight") == "model.layers.3.experts.*.up.weight"
        assert source.stored_name("rope_freqs.weight") == "rope_freqs.weight"
