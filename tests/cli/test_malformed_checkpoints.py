"""`sharkpack build` on folders that are no sound checkpoint: one sentence, status 2, and nothing written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import write_checkpoint_of
from tests.cli.conftest import Sharkpack
from tests.tiny_models import write_tiny_gguf

Damage = Callable[[Path], object]

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"
OTHER = "model-00002-of-00002.safetensors"
Q = "model.layers.0.self_attn.q_proj.weight"
HEAD = "lm_head.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of two shards with an untied head."""
    folder = tmp_path_factory.mktemp("sound")
    gguf = write_tiny_gguf(folder / "tiny.gguf", layers=1, tied=False)
    return write_checkpoint_of(gguf, folder / "model", shards=2)


def config(**changes: Any) -> Damage:
    """Set keys of config.json; None takes one out."""
    return lambda folder: _edit(folder / CONFIG, lambda values: values.update(changes))


def config_text(text: str) -> Damage:
    return lambda folder: (folder / CONFIG).write_text(text, "utf-8")


def index(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the index's weight map in place."""
    return lambda folder: _edit(folder / INDEX, lambda values: change(values["weight_map"]))


def header(change: Callable[[dict[str, Any]], object], file: str = WEIGHTS) -> Damage:
    """Change a shard's header in place; its tensors' bytes stay as they are."""

    def damage(folder: Path) -> None:
        data = (folder / file).read_bytes()
        length = int.from_bytes(data[:8], "little")
        values = json.loads(data[8 : 8 + length])
        change(values)
        text = json.dumps(values).encode()
        (folder / file).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    return damage


def remove(*names: str) -> Damage:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def write(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text, "utf-8")


def both(*damages: Damage) -> Damage:
    return lambda folder: [damage(folder) for damage in damages]


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), "utf-8")


def _shard_of(folder: Path, name: str) -> str:
    places: dict[str, str] = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"]
    return places[name]


def _cut(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def _great_header(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.write((2 << 30).to_bytes(8, "little"))


def _twice(folder: Path) -> None:
    """A tensor that both shards have."""
    (folder / OTHER).write_bytes((folder / WEIGHTS).read_bytes())


def _reshape(*shape: int) -> Damage:
    return lambda folder: header(lambda values: values[Q].update(shape=list(shape)), _shard_of(folder, Q))(folder)


def _rename(old: str, new: str) -> Damage:
    """A tensor under another name, in its shard and in the index."""

    def rename(values: dict[str, Any]) -> None:
        values[new] = values.pop(old)

    return lambda folder: both(header(rename, _shard_of(folder, old)), index(rename))(folder)


def _retype(dtype: str) -> Damage:
    return lambda folder: header(lambda values: values[Q].update(dtype=dtype), _shard_of(folder, Q))(folder)


def _overlap(values: dict[str, Any]) -> None:
    second = list(values.values())[1]
    second["data_offsets"] = [each - 64 for each in second["data_offsets"]]


def _as_float8(folder: Path) -> None:
    """Half as many columns in as many bytes; no scale anywhere."""

    def change(values: dict[str, Any]) -> None:
        values[Q].update(dtype="F8_E4M3", shape=[values[Q]["shape"][0], 2 * values[Q]["shape"][1]])

    header(change, _shard_of(folder, Q))(folder)


MALFORMED: dict[str, tuple[Damage, str]] = {
    "no config": (remove(CONFIG), "config.json is missing; a checkpoint has it"),
    "config is no JSON": (config_text("model_type: llama"), "config.json is not valid JSON"),
    "config is a list": (config_text("[]"), "config.json: Expected an object in '.', found a list"),
    "config nested deep": (config_text('{"a": ' + "[" * 5000 + "]" * 5000 + "}"), "nests deeper than 16 levels"),
    "NaN in config": (config_text('{"rms_norm_eps": NaN}'), "NaN is not a JSON number"),
    "a key twice": (config_text('{"vocab_size": 1, "vocab_size": 2}'), "a key appears twice in one object"),
    "no model type": (config(model_type=None), "no 'model_type', which this model needs"),
    "unknown model type": (config(model_type="mamba"), "a model of type 'mamba'; supported: llama"),
    "code of its own": (
        config(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}),
        "whose maths is code of its own ('auto_map'), which is never run",
    ),
    "a classifier": (config(architectures=["LlamaForSequenceClassification"]), "holds a LlamaForSequenceClass"),
    "unknown key": (config(logit_softcap=30.0), "'logit_softcap' = 30.0 is not known here for 'llama'"),
    "another activation": (config(hidden_act="gelu"), "'hidden_act' is 'gelu'; supported: 'silu'"),
    "unknown rope": (
        config(rope_scaling={"type": "dynamic", "factor": 2.0}),
        "rope scaling 'dynamic' is not supported",
    ),
    "rope with more to it": (
        config(rope_scaling={"type": "linear", "factor": 2.0, "attn": 1}),
        "rope scaling 'linear' has an unknown 'attn' = 1",
    ),
    "rope by nothing": (config(rope_scaling={"type": "linear", "factor": 0}), "rope.scaling.factor is 0.0"),
    "a size as text": (config(hidden_size="128"), "'hidden_size' is '128'; expected an integer"),
    "a size missing": (config(hidden_size=None), "no 'hidden_size', which this model needs"),
    "a negative size": (config(num_attention_heads=-4), "'num_attention_heads' is -4; expected 1 to 2147483647"),
    "heads beyond measure": (config(head_dim=1 << 30), "'head_dim' is 1073741824; expected 1 to 1024"),
    "rope without a base": (config(rope_theta=0), "rope with 'rope_theta' 0 and 'partial_rotary_factor' 1"),
    "rope of nothing": (
        config(partial_rotary_factor=0.0),
        "rope with 'rope_theta' 100",
    ),
    "yarn from nothing": (
        config(rope_scaling={"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 0}),
        "yarn from a context of 0 with betas 32 and 1; each must be above zero",
    ),
    "heads do not divide": (config(num_key_value_heads=3), "4 attention heads cannot share 3 key and value heads"),
    "more layers than weights": (
        config(num_hidden_layers=2),
        "'model.layers.1.self_attn.q_proj.weight' is missing",
    ),
    "wrong vocabulary size": (config(vocab_size=300), "'vocab_size' is 300, and the token embedding has 302 rows"),
    "wrong width": (config(intermediate_size=512), "has shape [256, 128]; the hyperparameters call for [512, 128]"),
    "weights quantised otherwise": (
        config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "the weights are quantised by 'gptq'; supported: none, and 8-bit floats",
    ),
    "a shard missing": (remove(WEIGHTS), f"{WEIGHTS} is missing, and {INDEX} lists it"),
    "the index missing": (remove(INDEX), f"has {WEIGHTS}, but neither model.safetensors nor {INDEX}"),
    "no weights": (remove(INDEX, WEIGHTS, OTHER), f"no model.safetensors and no {INDEX}"),
    "pickles alone": (
        both(remove(INDEX, WEIGHTS, OTHER), write("pytorch_model.bin", "")),
        "its weights are a pickle (pytorch_model.bin)",
    ),
    "index is no JSON": (write(INDEX, "{"), "is not valid JSON"),
    "index without a map": (write(INDEX, "{}"), "Missing required value in 'weight_map'"),
    "a path out of the folder": (index(lambda m: m.update({Q: "../x.safetensors"})), "is said to be in '../x.safeten"),
    "an absolute path": (index(lambda m: m.update({Q: "/etc/x.safetensors"})), "expected a .safetensors file beside"),
    "a tensor not in its shard": (index(lambda m: m.update(more=WEIGHTS)), f"tensor 'more' is not in {WEIGHTS}"),
    "a tensor not in the index": (index(lambda m: m.pop(Q)), f"tensor '{Q}' of model-0000"),
    "a tensor in two shards": (_twice, f"is in {WEIGHTS} and in {OTHER} too"),
    "a tensor of another shape": (
        _reshape(256, 64),
        f"tensor '{Q}' has shape [256, 64]; the hyperparameters call for",
    ),
    "a tensor larger than its place": (_reshape(256, 128), f"tensor '{Q}' is BF16 of shape [256, 128], 65536 bytes"),
    "a tensor of another kind": (_retype("I16"), f"tensor '{Q}' has dtype I16; supported: F32, F16, BF16"),
    "an unknown dtype": (_retype("Q4"), f"tensor '{Q}' has dtype 'Q4'; known: "),
    "an unknown tensor": (_rename(Q, "model.layers.0.adapter.weight"), "'model.layers.0.adapter.weight' is not known"),
    "a layer too many": (_rename(Q, Q.replace("0", "7")), f"tensor '{Q}' is missing"),
    "no output head": (_rename(HEAD, "model.layers.0.self_attn.rotary_emb.weight"), "the output head is not tied"),
    "8-bit floats without a scale": (_as_float8, f"tensor '{Q}' is F8_E4M3 without a scale"),
    "a shard cut short": (_cut, "its tensors end at byte"),
    "a shard of nothing": (lambda folder: (folder / WEIGHTS).write_bytes(b""), "not a safetensors file"),
    "a header of 2 GB": (_great_header, "a header of 2147483648 bytes; at most 100000000 are allowed"),
    "tensors that overlap": (header(_overlap), "overlaps the one before it"),
    "no tokenizer": (remove("tokenizer.json"), "no tokenizer.json and no tokenizer.model"),
    "tokenizer is no JSON": (write("tokenizer.json", "<html>"), "a web page (HTML) that was saved in its place"),
    "tokenizer of nothing": (write("tokenizer.json", "{}"), "is not a tokenizer that can be loaded"),
    "tokenizer config is no JSON": (write("tokenizer_config.json", "no"), "tokenizer_config.json is not valid JSON"),
}


@pytest.mark.parametrize(("damage", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_checkpoint_is_refused(
    sharkpack: Sharkpack, sound: Path, tmp_path: Path, damage: Damage, message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sound, folder)
    damage(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert message in sharkpack("build", folder).error
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]
