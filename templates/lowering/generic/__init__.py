"""The portable lowering: each operator as linalg on tensors, in float32, from what layouts and operators declare.

Nothing of it is written for a machine: it shows that the operators say all there is to know, and is what a target
starts from before it has kernels.
"""

from sharkpack.templates.lowering.generic.lowering import Generic

__all__ = ["Generic"]
