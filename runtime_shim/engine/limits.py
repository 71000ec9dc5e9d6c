"""The limits of an engine, as given or as fits the machine: tokens of a sequence and of a call, pages of the cache."""

from sharkpack.formats.archive.generate_signature import GenerateSignature
from sharkpack.runtime_shim.checks import whole_number
from sharkpack.runtime_shim.device.memory import default_cache_pages, usable_memory
from sharkpack.runtime_shim.errors import RequestError


def context_length(signature: GenerateSignature, asked: int | None) -> int:
    """Tokens that a sequence may have. Raises SharkpackError for more than the bundle was built for."""
    if asked is None:
        return signature.context_length
    length = whole_number("context", asked)
    if not 1 <= length <= signature.context_length:
        raise RequestError(
            f"context is {length}: this bundle was built for 1 to {signature.context_length} tokens; "
            "build it with a longer --context for more"
        )
    return length


def chunk_length(context_length: int, asked: int) -> int:
    """Prompt tokens that a call computes at most. Raises SharkpackError for less than one."""
    return min(whole_number("prefill-chunk", asked, least=1), context_length)


def page_count(signature: GenerateSignature, context_length: int, asked: int | None) -> int:
    """Pages to allocate, the programs' reserved ones included. Raises SharkpackError for less than one."""
    if asked is not None:
        return signature.reserved_pages + whole_number("cache-pages", asked, least=1)
    return signature.reserved_pages + default_cache_pages(
        pages_per_sequence=-(-context_length // signature.page_size),
        sequences=max(signature.batch_sizes),
        page_bytes=signature.cache.page_bytes,
        memory=usable_memory(),
    )
