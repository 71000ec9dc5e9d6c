"""The spec of the model that a recipe makes of a source: from the compile cache, or by making it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cache.keys import made_key
from sharkpack.bundler.model_spec.cached import CachedSpec
from sharkpack.bundler.model_spec.observed_source import ObservedSource
from sharkpack.bundler.model_spec.spec import ModelSpec
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.source import Source

if TYPE_CHECKING:
    from sharkpack.templates.layers.recipe import CausalModel


def spec_of_recipe(source: Source, options: ModelOptions, cache: CompileCache | None) -> ModelSpec:
    """Returns the spec for a source whose architecture has a recipe. Raises SharkpackError for what that refuses.

    The cache has specs of what was not refused, so what it finds would not be now.
    """
    seen = ObservedSource(source)
    key = None if cache is None else made_key("spec", seen.described(), options)
    if cache is None or key is None:
        return _made(seen, options)
    found = _found(cache, key, seen)
    if found is not None:
        return replace(found, make=lambda: _model(seen, options))
    made = _made(seen, options)
    kept = CachedSpec(spec=made, reads=seen.reads)
    cache.put(key, kept.to_bytes(), f"model spec of a {seen.architecture} model")
    return made


def _found(cache: CompileCache, key: str, seen: ObservedSource) -> ModelSpec | None:
    """None too where it was made of tensors of other content: a key has only their names, types and shapes."""
    data = cache.get(key)
    kept = None if data is None else CachedSpec.from_bytes(data)
    if kept is None or not seen.tensors.keys() >= kept.reads.keys():
        return None
    for name in kept.reads:
        seen.tensors[name].read()
    return kept.spec if seen.reads == kept.reads else None


def _made(seen: ObservedSource, options: ModelOptions) -> ModelSpec:
    from sharkpack.bundler.model_spec.from_model import spec_of_model  # torch: a second to load, for those who need it

    return spec_of_model(_model(seen, options))


def _model(seen: ObservedSource, options: ModelOptions) -> "CausalModel":
    from sharkpack.templates.architectures.recipes import RECIPES  # torch, likewise

    return RECIPES[seen.architecture].build(seen, options)
