"""A compiled module and what a device must have to run it."""

from dataclasses import dataclass
from typing import Annotated

from sharkpack.formats.archive.manifest_object import Key, ManifestObject

_TARGET_ID = "[A-Za-z0-9_]([A-Za-z0-9._+-]*[A-Za-z0-9_+-])?"
_VERSION = r"[0-9]+(\.[0-9]+){0,3}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements(ManifestObject):
    """Requirements to be met before a target's code is loaded. No device meets those in `unknown`."""

    cpu_features: Annotated[tuple[str, ...], Key("LLVM's names of CPU features that the code uses unasked.")] = ()
    api_version: Annotated[str | None, Key("The oldest version of the driver's API.", pattern=_VERSION)] = None
    architecture: Annotated[
        str | None, Key("The oldest GPU architecture of its line, as `sm_80`, or the only one, as `gfx942`.")
    ] = None
    storage: Annotated[tuple[str, ...], Key("Types that buffers hold and code loads: `8bit`, `16bit`, `64bit`.")] = ()
    subgroup_operations: Annotated[
        tuple[str, ...], Key("Vulkan's names of subgroup operations, in small letters.")
    ] = ()
    subgroup_size: Annotated[int | None, Key("Invocations of a subgroup.", minimum=1)] = None
    memory_bytes: Annotated[int | None, Key("Memory of the device, in bytes.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo(ManifestObject):
    """A compiled module and what a device must have to run it; among those that can, the highest `priority` wins."""

    id: Annotated[str, Key("One segment of a member's name.", pattern=_TARGET_ID)]
    path: Annotated[str, Key("Its module, a member.")]
    driver: Annotated[str, Key("IREE HAL driver: local, or vulkan, cuda, hip, metal.")]
    architecture: Annotated[str, Key("Of the processor that it was compiled for.")]
    activations: Annotated[str, Key("Precision of activations in matmuls with quantised weights.")]
    priority: Annotated[int, Key("Among the targets that a device can run, the highest is taken.")]
    requires: Annotated[Requirements, Key("What must be there before the code is loaded.")] = Requirements()
    compile_flags: Annotated[tuple[str, ...], Key("Flags of iree-compile, for the record.")]
