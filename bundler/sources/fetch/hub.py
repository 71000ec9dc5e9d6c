"""Models of the Hugging Face hub: `hf:owner/name[@revision][:file]`, fetched once by huggingface_hub into its cache.

Its environment variables hold: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sharkpack.bundler.sources.fetch.location import Location
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf_part_names import part_names, whole_name

PREFIX = "hf:"
CHECKPOINT_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "README.md")
"""What of a repository is fetched when no file is named: nothing that is not read, and nothing that could be run."""

_REFERENCE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<file>[^:\s]+))?", re.ASCII)
_NEEDED = "expected hf:owner/name, hf:owner/name@revision or hf:owner/name:file.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReference:
    """A repository, and of it a revision (None: the main one) and a file (None: the checkpoint in it)."""

    repo: str
    revision: str | None
    file: str | None

    @property
    def name(self) -> str:
        """The name of the model: that of the file, less the number of a part, else of the repository."""
        return Path(whole_name(self.file)).stem if self.file else self.repo.partition("/")[2]


def parse_reference(text: str) -> HubReference:
    """`text` in its parts; SharkpackError when it is no reference to a model of the hub."""
    found = _REFERENCE.fullmatch(text)
    if found is None or ".." in text:
        raise SharkpackError(f"{text!r} names no model of the hub; {_NEEDED}")
    return HubReference(repo=found["repo"], revision=found["revision"], file=found["file"])


def fetch_from_hub(reference: HubReference, *, bars: bool) -> Location:
    """The file or the folder in the hub's cache, downloaded if need be; `bars` shows huggingface_hub's progress bars.

    Raises SharkpackError when there is no such repository, revision or file, when it may not be read, and when it is
    neither in the cache nor to be reached.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise SharkpackError("models of the hub need huggingface_hub: pip install 'sharkpack[build]'") from error
    with _sentences(reference), _progress_bars(bars):
        if reference.file is not None:
            path, *_ = (
                Path(huggingface_hub.hf_hub_download(reference.repo, name, revision=reference.revision))
                for name in part_names(reference.file)
            )
        else:
            path = Path(
                huggingface_hub.snapshot_download(
                    reference.repo,
                    revision=reference.revision,
                    allow_patterns=list(CHECKPOINT_FILES),
                    ignore_patterns=["*/*"],
                )
            )
    if reference.file is None and not any(path.glob("*.safetensors")):
        _explain_no_weights(reference)
    commit = path.parts[path.parts.index("snapshots") + 1]
    file = f":{reference.file}" if reference.file else ""
    return Location(path=path, name=reference.name, origin=f"hf:{reference.repo}@{commit}{file}")


@contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """Only where they are wanted; as the user's environment has it otherwise."""
    from huggingface_hub import utils

    before = utils.are_progress_bars_disabled()
    if not shown:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if not shown and not before:
            utils.enable_progress_bars()


@contextmanager
def _sentences(reference: HubReference) -> Iterator[None]:
    """One sentence for each way in which a download fails."""
    from huggingface_hub import errors

    repo, revision = reference.repo, reference.revision or "main"
    try:
        yield
    except errors.GatedRepoError as error:
        raise SharkpackError(
            f"{repo} is gated: accept its terms on the hub, then log in (hf auth login) or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SharkpackError(
            f"{repo} is no model of the hub that can be read; check the name, or log in (hf auth login, HF_TOKEN) "
            "if it is private"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SharkpackError(f"{repo} has no revision {revision!r}; give a branch, a tag or a commit of it") from error
    except errors.LocalEntryNotFoundError as error:
        raise SharkpackError(
            f"{repo} is not in the hub's cache and cannot be downloaded: the hub cannot be reached, or HF_HUB_OFFLINE "
            "is set"
        ) from error
    except errors.EntryNotFoundError as error:
        raise SharkpackError(f"{repo} has no file {reference.file!r} in revision {revision!r}") from error
    except SharkpackError:
        raise
    except Exception as error:  # the network, the disk, whatever the package or its HTTP client calls it
        raise SharkpackError(f"{repo} could not be downloaded: {type(error).__name__}: {error}") from error


def _explain_no_weights(reference: HubReference) -> NoReturn:
    """A repository without safetensors: say what it has instead, if the hub can be asked."""
    import huggingface_hub

    with _sentences(reference):
        names = huggingface_hub.HfApi().list_repo_files(reference.repo, revision=reference.revision)
    files = sorted(name for name in names if name.endswith(".gguf"))
    if files:
        raise SharkpackError(f"{reference.repo} holds GGUF files; name one: hf:{reference.repo}:{files[0]}")
    pickles = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
    what = f"its weights are a pickle ({pickles[0]}), which is never read here" if pickles else "it holds no weights"
    raise SharkpackError(
        f"{reference.repo}: no *.safetensors; {what}: look for another revision or repository with *.safetensors"
    )
