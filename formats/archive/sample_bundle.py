"""A tiny bundle, valid in every field but with nothing to run in it: for tests of whatever reads bundles.

Shipped, so that a second reader of the format has something to try itself on.
"""

import os
from collections.abc import Sequence

from sharkpack.formats.archive.manifest import (
    Format,
    Manifest,
    Member,
    ModelInfo,
    ParameterFile,
    Producer,
    Requirements,
    Signature,
    Source,
    TargetInfo,
    TokenizerInfo,
    paged_signature,
    single_text,
)
from sharkpack.formats.archive.memory import attention_pool
from sharkpack.formats.archive.writer import ArchiveWriter
from sharkpack.formats.cache_geometry import CacheGeometry
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import write_tensors

PARAMETERS_PATH = "params/model.irpa"
TOKENIZER_PATH = "tokenizer/tokenizer.json.zst"
MODULE_PATH = "targets/generic/module.vmfb"
TENSORS = {"token_embd.weight": bytes(range(200)), "output_norm.weight": b"\1\2\3\4" * 16}
TOKENIZER = b'{"model": {"type": "BPE"}}'
MODULE = b"not really a module"


def sample_members() -> list[Member]:
    """Members that the sample's manifest may list, where no archive is needed."""
    return [
        Member(path="mimetype", offset=38, size=25, sha256="1" * 64),
        Member(path=PARAMETERS_PATH, offset=16384, size=640, sha256="2" * 64),
        Member(path=TOKENIZER_PATH, offset=32768, size=35, sha256="3" * 64, content_size=len(TOKENIZER)),
        Member(path=MODULE_PATH, offset=49152, size=len(MODULE), sha256="4" * 64),
    ]


def sample_manifest(members: Sequence[Member]) -> Manifest:
    """A valid manifest over `members`, which include the three paths above."""
    return Manifest(
        format=Format(),
        model=ModelInfo(
            name="Tiny",
            architecture="llama",
            quantization="Q4_1",
            parameter_count=264,
            context_length=100,
            trained_context_length=2048,
        ),
        source=Source(kind="gguf", file="tiny.gguf", size=1000, sha256="0" * 64),
        producer=Producer(sharkpack="0.1.0", iree_compiler="3.13.0", iree_turbine="3.9.0", torch="2.13.0"),
        minimum_runtime="3.13.0",
        signature=_signature(),
        tokenizer=TokenizerInfo(
            path=TOKENIZER_PATH,
            single=single_text(prefix=(1,)),
            bos_token_id=1,
            eos_token_id=2,
            end_token_ids=(2,),
            special_tokens={"bos_token": "<s>", "eos_token": "</s>"},
        ),
        parameters=(ParameterFile(path=PARAMETERS_PATH, scope="model"),),
        tasks=("generate",),
        targets=(_target(),),
        members=tuple(members),
    )


def _target() -> TargetInfo:
    return TargetInfo(
        id="generic",
        path=MODULE_PATH,
        driver="local",
        architecture="x86_64",
        activations="int8",
        priority=10,
        requires=Requirements(cpu_features=("sse4.2",)),
        compile_flags=("--iree-opt-level=O2",),
    )


def _signature() -> Signature:
    cache = CacheGeometry(dtype="f16", page_size=32, layers=2, kv_heads=1, key_head_dim=8, value_head_dim=8)
    return paged_signature(batch_sizes=(1, 4), context_length=100, vocab_size=256, pool=attention_pool("kv", cache))


def write_sample_bundle(path: str | os.PathLike[str], *, overwrite: bool = False) -> Manifest:
    """Write the sample to `path`; return its manifest."""
    plan = plan_irpa([(name, len(data)) for name, data in TENSORS.items()])
    with ArchiveWriter(path, overwrite=overwrite) as archive:
        with archive.open_member(PARAMETERS_PATH, plan.total_size) as out:
            write_tensors(plan, out, TENSORS.items())
        archive.add(TOKENIZER_PATH, TOKENIZER, compress=True)
        archive.add(MODULE_PATH, MODULE)
        manifest = sample_manifest(archive.members)
        archive.finish(manifest.to_json())
    return manifest
