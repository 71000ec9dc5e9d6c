"""A manifest that has an object of every class, and every key."""

from dataclasses import replace

from sharkpack.formats.archive.manifest import (
    BaseModel,
    GenerationDefaults,
    Manifest,
    Member,
    ModelCard,
    OperatorVersion,
    ProgramSource,
    PromptPiece,
    Requirements,
)
from sharkpack.formats.archive.memory import Memory, Slots, SlotTensor
from sharkpack.formats.archive.sample_bundle import sample_manifest, sample_members


def full_manifest() -> Manifest:
    """The sample's manifest with all that may be left out."""
    members = [
        *sample_members(),
        Member(path="program/program.mlir.zst", offset=65536, size=100, sha256="5" * 64, content_size=900),
        Member(path="program/operators.json", offset=81920, size=100, sha256="6" * 64),
    ]
    sample = sample_manifest(members)
    card = ModelCard(
        author="A",
        organization="O",
        description="D",
        url="U",
        license_name="L",
        license_link="K",
        base_models=(BaseModel(name="B", organization="O", url="U"),),
        languages=("en",),
        tags=("tag",),
    )
    requires = Requirements(
        cpu_features=("sse4.2",),
        api_version="1.3",
        architecture="sm_80",
        storage=("16bit",),
        subgroup_operations=("arithmetic",),
        subgroup_size=32,
        memory_bytes=1 << 30,
    )
    slots = Slots(name="state", rollback=8, tensors=(SlotTensor(name="conv", dtype="f32", shape=(2, 3)),))
    return replace(
        sample,
        model=replace(sample.model, license="mit", card=card),
        producer=replace(sample.producer, source_date_epoch=1),
        signature=replace(
            sample.signature,
            hidden_size=16,
            memory=(*sample.signature.memory, slots, Memory(name="later", kind="rings")),
        ),
        tokenizer=replace(
            sample.tokenizer,
            pair=(PromptPiece(text="A"), PromptPiece(id=2), PromptPiece(text="B", type=1)),
        ),
        generation=GenerationDefaults(temperature=0.5, top_k=20, top_p=0.95, stop=("\n\n",)),
        targets=(replace(sample.targets[0], requires=requires),),
        program=ProgramSource(
            path="program/program.mlir.zst",
            calls="program/operators.json",
            iree_compiler="3.13.0",
            operators=(OperatorVersion(name="matmul", version=1),),
        ),
    )
