"""A target's module, loaded in place from the archive's mapping, and calls of its entry points.

Knows the ABI (docs/format.md); does not know what the rows mean or which pages are free.
"""

import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import iree.runtime as rt
import numpy as np
import numpy.typing as npt

from sharkpack.formats.archive.generate_calls import HEAD, PREFILL_ROLES
from sharkpack.formats.archive.generate_signature import GenerateSignature, generate_signature
from sharkpack.formats.archive.manifest import TargetInfo
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.device.memory import use_huge_pages
from sharkpack.runtime_shim.errors import BundleDamagedError, BundleUnsupportedError, CacheFullError, DeviceFailedError
from sharkpack.runtime_shim.executor.arguments import Arguments, Views
from sharkpack.runtime_shim.executor.entry_function import EntryFunction, entry_function
from sharkpack.runtime_shim.executor.loading import load_modules
from sharkpack.runtime_shim.executor.protocol import Entry, Logits, SequenceChunk, check_chunks
from sharkpack.runtime_shim.executor.sched_batch import SchedBatch
from sharkpack.runtime_shim.executor.weight_prefetch import WeightPrefetcher

_ELEMENT_TYPES = {
    "f16": rt.HalElementType.FLOAT_16,
    "f32": rt.HalElementType.FLOAT_32,
    "i8": rt.HalElementType.INT_8,
}
SCORED_ELEMENTS = 1 << 24
"""Logits that one call of `CompiledExecutor.score` makes at most: 64 MiB."""
_FLOAT32 = np.dtype(np.float32)  # an instance: the binding refuses the class


class CompiledExecutor:
    """A loaded module with its cache. Not safe from several threads: calls share the argument buffers and the cache."""

    def __init__(
        self, archive: Archive, target: TargetInfo, device: rt.HalDevice, *, cache_pages: int, prefill_chunk: int
    ) -> None:
        self.signature = generate_signature(archive.manifest.signature)
        self.cache_pages = cache_pages
        sizes = self.signature.batch_sizes
        self._batches = [next(size for size in sizes if size >= rows) for rows in range(sizes[-1] + 1)]
        self._prefill_chunk = prefill_chunk
        self._native = _Native(archive, target, device, self.signature)
        # IREE dies when a buffer outlives its device, so they go in order, at the latest when the interpreter exits.
        self._release = weakref.finalize(self, self._native.release)
        self._native.allocate(self.signature, cache_pages, prefill_chunk)

    def batch_size(self, rows: int) -> int:
        """The smallest exported batch size that holds `rows`, or the largest there is."""
        return self._batches[min(rows, len(self._batches) - 1)]

    def call(self, entry: Entry, chunks: Sequence[SequenceChunk]) -> Logits:
        """Compute as `Executor.call`; the array is the device's own memory, so keep no reference to it."""
        check_chunks(self, chunks)
        batch = self.batch_size(len(chunks))
        views = self._native.arguments.fill(chunks, batch)
        if entry == "prefill":
            self._native.map_weights()
        return self._native.invoke(f"{entry}_bs{batch}", views)[: len(chunks)]

    @property
    def scored_tokens(self) -> int:
        """The largest number of tokens that `score` takes."""
        return max(1, min(self._prefill_chunk // self.batch_size(1), SCORED_ELEMENTS // self.signature.logits_width))

    def score(self, chunk: SequenceChunk) -> Logits:
        """Compute as `Executor.score`; also raises SharkpackError for a module without `head`."""
        check_chunks(self, [chunk])
        batch = self.batch_size(1)
        self._native.invoke(f"prefill_bs{batch}", self._native.arguments.fill([chunk], batch))
        return self._native.invoke_head()[: len(chunk.tokens)]

    def run(self, function: str, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Call an entry point on all of its arguments, a cache among them, and copy out all of its results.

        For looking at single calls: the program's own cache takes no part, and nothing is checked.
        """
        return self._native.run(function, arrays)

    @property
    def closed(self) -> bool:
        """Returns whether `close` has been called."""
        return not self._release.alive

    def close(self) -> None:
        """Give everything back; what was mapped from the archive may be unmapped afterwards."""
        self._release()


class _Native:
    """The objects that IREE allocates, in one place so that they are released in the right order."""

    arguments: Arguments
    _modules: Any
    _weights: Any

    def __init__(
        self, archive: Archive, target: TargetInfo, device: rt.HalDevice, signature: GenerateSignature
    ) -> None:
        self._device: Any = device
        self._instance: Any = rt.VmInstance()
        self._cache: Any = None
        self._hidden: Any = None
        self._result: Any = None
        self._functions: dict[str, EntryFunction] = {}
        try:
            self._modules, self._weights = load_modules(archive, target, self._instance, self._device)
            self._context: Any = rt.VmContext(self._instance, self._modules)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BundleUnsupportedError(f"{target.path} does not load: {reason}") from error
        self._find_functions(signature, target, archive.manifest.signature.module)
        self._mapper = WeightPrefetcher(archive) if target.driver == "local" else None
        self._patience = SchedBatch() if target.driver == "local" else nullcontext()

    def allocate(self, signature: GenerateSignature, cache_pages: int, prefill_chunk: int) -> None:
        """The cache (memory that nothing touches until a program writes it) and the argument buffers."""
        shape = (cache_pages, signature.cache.page_elements)
        nbytes = cache_pages * signature.cache.page_bytes
        try:
            buffer = self._device.allocator.allocate_buffer(
                rt.MemoryType.DEVICE_LOCAL | rt.MemoryType.HOST_VISIBLE,
                rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
                nbytes,
            )
        except (RuntimeError, MemoryError, TypeError) as error:  # TypeError: more than 64 bits of bytes
            raise CacheFullError(
                f"no memory for a cache of {nbytes >> 20} MiB: give fewer pages or less context"
            ) from error
        if self._mapper is not None:
            use_huge_pages(buffer.map().asarray((nbytes,), np.dtype(np.uint8)).ctypes.data, nbytes)
        self._cache = rt.HalBufferView(buffer, shape, _ELEMENT_TYPES[signature.cache.dtype])
        self.arguments = Arguments(
            self._device.allocator,
            rows=max(signature.batch_sizes),
            tokens=prefill_chunk,
            pages=signature.max_pages_per_sequence,
        )

    def invoke(self, name: str, views: Views) -> Logits:
        """Call with the views and the cache, which the call consumes and returns."""
        entry = self._functions[name]
        outputs = self._call(entry, entry.arguments((*views, self._cache)))
        self._cache = outputs.get_as_object(entry.memory, rt.HalBufferView)
        self._hidden = None if entry.hidden is None else outputs.get_as_object(entry.hidden, rt.HalBufferView)
        return self._read(outputs, entry.logits)

    def invoke_head(self) -> Logits:
        """The head, on what the layers made of each token of the prefill before."""
        entry = self._functions.get(HEAD)
        if entry is None or self._hidden is None:
            raise BundleUnsupportedError("this bundle's program gives no logits but the last token's: build it again")
        return self._read(self._call(entry, entry.arguments((self._hidden,))), entry.logits)

    def run(self, name: str, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Call with arrays in the order of the function's arguments, which are copied, and copy what comes back."""
        inputs = rt.VmVariantList(len(arrays))
        for array in arrays:
            inputs.push_ref(rt.asdevicearray(self._device, array)._buffer_view)
        outputs = self._call(self._functions[name], inputs)
        views = [outputs.get_as_object(index, rt.HalBufferView) for index in range(outputs.size)]
        return [
            view.map().asarray(view.shape, np.dtype(rt.HalElementType.map_to_dtype(view.element_type))).copy()
            for view in views
        ]

    def map_weights(self) -> None:
        """Before the first call; what follows does nothing."""
        if self._mapper is not None:
            self._mapper.start()

    def _call(self, entry: EntryFunction, inputs: rt.VmVariantList) -> Any:
        outputs = rt.VmVariantList(3)
        self._result = None
        try:
            with self._patience:
                self._context.invoke(entry.function, inputs, outputs)
        except RuntimeError as error:
            raise DeviceFailedError(f"{entry.name} failed: {' '.join(str(error).split())}") from error
        return outputs

    def _read(self, outputs: Any, place: int) -> Logits:
        view = outputs.get_as_object(place, rt.HalBufferView)
        self._result = view.map()
        logits: Logits = self._result.asarray(view.shape, _FLOAT32)
        return logits

    def release(self) -> None:
        """Results first, the device last."""
        if self._mapper is not None:
            self._mapper.stop()
        self._result = self._hidden = self._cache = None
        self.__dict__.pop("arguments", None)
        self._functions.clear()
        self._context = self._modules = None
        self._instance = self._device = None
        self._weights = None

    def _find_functions(self, signature: GenerateSignature, target: TargetInfo, name: str) -> None:
        module = self._modules[-1]
        if module.name != name:
            raise BundleDamagedError(f"{target.path} is the module {module.name!r}: expected {name!r}")
        for entry in (*signature.prefill.values(), *signature.decode.values()):
            self._functions[entry.function] = entry_function(entry, PREFILL_ROLES, module, target)
        if signature.head is not None:
            self._functions[HEAD] = entry_function(signature.head, ("hidden",), module, target)
