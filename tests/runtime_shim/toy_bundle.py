"""The toy as a real bundle: code, table, tokenizer and manifest, each of which a test may change."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sharkpack.formats.archive.manifest import (
    Format,
    Manifest,
    ModelInfo,
    PagePool,
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
from sharkpack.formats.archive.writer import ArchiveWriter
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import write_tensors
from tests.runtime_shim.toy_language import BATCH_SIZES, BOS, CONTEXT, END, PAGE_SIZE, TABLE, VOCABULARY, toy_tokenizer
from tests.runtime_shim.toy_program import FLAGS


def toy_signature(batch_sizes: tuple[int, ...] = BATCH_SIZES) -> Signature:
    """The toy's functions, called with these batch sizes."""
    pool = PagePool(name="kv", dtype="f32", page_size=PAGE_SIZE, page_elements=2 * PAGE_SIZE)
    return paged_signature(batch_sizes=batch_sizes, context_length=CONTEXT, vocab_size=VOCABULARY, pool=pool)


TOY_SIGNATURE = toy_signature()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyBundle:
    """The content of a toy bundle; tests change what they are about."""

    code: bytes
    signature: Signature = TOY_SIGNATURE
    targets: tuple[TargetInfo, ...] = ()
    chat_template: str | None = None
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    add_bos: bool = False
    add_eos: bool = False
    minimum_runtime: str = "3.13.0"
    ballast: int = 0

    def write(self, path: Path) -> Path:
        """Pack it at `path`, which is returned. `ballast` bytes of weights that nobody reads come along."""
        targets = self.targets or (toy_target("generic"),)
        tensors = [("table", TABLE.tobytes())] + [("ballast", bytes(self.ballast))] * bool(self.ballast)
        plan = plan_irpa([(name, len(data)) for name, data in tensors])
        with ArchiveWriter(path, overwrite=True) as writer:
            with writer.open_member("params/model.irpa", plan.total_size) as out:
                write_tensors(plan, out, tensors)
            writer.add("tokenizer/tokenizer.json.zst", toy_tokenizer().to_str().encode(), compress=True)
            if self.chat_template is not None:
                writer.add("tokenizer/chat_template.jinja.zst", self.chat_template.encode(), compress=True)
            for name, text in self.chat_templates.items():
                writer.add(f"tokenizer/chat_templates/{name}.jinja.zst", text.encode(), compress=True)
            for target in targets:
                writer.add(target.path, self.code)
            writer.finish(replace(self.manifest(targets), members=tuple(writer.members)).to_json())
        return path

    def manifest(self, targets: tuple[TargetInfo, ...]) -> Manifest:
        """The manifest of the bundle, without its members."""
        return Manifest(
            format=Format(),
            model=ModelInfo(
                name="toy",
                architecture="toy",
                quantization="none",
                parameter_count=VOCABULARY,
                context_length=self.signature.context_length,
                trained_context_length=self.signature.context_length,
                license=None,
            ),
            source=Source(kind="gguf", file="toy.gguf", size=1, sha256="0" * 64),
            producer=Producer(sharkpack="0", iree_compiler="3.13.0", iree_turbine="0", torch="0"),
            minimum_runtime=self.minimum_runtime,
            signature=self.signature,
            tokenizer=TokenizerInfo(
                path="tokenizer/tokenizer.json.zst",
                chat_template="tokenizer/chat_template.jinja.zst" if self.chat_template is not None else None,
                chat_templates={name: f"tokenizer/chat_templates/{name}.jinja.zst" for name in self.chat_templates},
                single=single_text((BOS,) if self.add_bos else (), (END,) if self.add_eos else ()),
                bos_token_id=BOS,
                eos_token_id=END,
                end_token_ids=(END,),
                special_tokens={"bos_token": "<bos>", "eos_token": "<end>", "image_token": "<turn>"},
            ),
            parameters=(ParameterFile(path="params/model.irpa", scope="model"),),
            tasks=self.signature.tasks,
            targets=targets,
            members=(),
        )


def toy_target(
    name: str,
    *,
    priority: int = 10,
    features: tuple[str, ...] = (),
    driver: str = "local",
    architecture: str | None = None,
) -> TargetInfo:
    """A target whose member is the toy's code, whatever it says that it needs."""
    return TargetInfo(
        id=name,
        path=f"targets/{name}/module.vmfb",
        driver=driver,
        architecture=architecture or host_cpu().architecture,
        activations="float32",
        priority=priority,
        requires=Requirements(cpu_features=features),
        compile_flags=FLAGS,
    )
