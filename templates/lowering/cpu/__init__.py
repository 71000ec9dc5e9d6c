"""The lowering for CPUs: hand-written kernels for an instruction set, int8 activations where the model allows."""

from sharkpack.templates.lowering.cpu.lowering import Cpu

__all__ = ["Cpu"]
