"""The two hashes of what a file holds: of its integers, and of its rebuilt tensors."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.binary.wire import Writer
from lnx.dtypes import shortened
from lnx.tensors.container import Alias, Container, Exact, Latent, Tensor
from lnx.tensors.reconstruct import AnyArray, rebuild


class Digests:
    """The two hashes of a file's contents, tensor by tensor in order."""

    def __init__(self) -> None:
        self._integers = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)
        self._rebuilt = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)

    def add(self, tensor: Tensor, array: AnyArray | None) -> None:
        """Take a tensor, and what it was rebuilt to unless it is an alias."""
        self._integers.update(_identity(tensor))
        if isinstance(tensor, Latent):
            self._integers.update(np.ascontiguousarray(shortened(tensor.symbols)).data)
        elif isinstance(tensor, Exact):
            self._integers.update(np.ascontiguousarray(tensor.data).data)
        if array is not None:
            self._rebuilt.update(np.ascontiguousarray(array).data)

    def add_decoders(self, decoders: Iterable[NDArray[np.float32]]) -> None:
        """Take the decoders, after all tensors."""
        for decoder in decoders:
            self._integers.update(np.ascontiguousarray(decoder, "<f4").data)

    def integers(self) -> bytes:
        """Return the hash of all integers, bound to their names and shapes."""
        return self._integers.digest()

    def rebuilt(self) -> bytes:
        """Return the hash of all rebuilt tensors; aliases repeat nothing."""
        return self._rebuilt.digest()


def digests_of(container: Container) -> Digests:
    """Return both hashes of a container, one tensor rebuilt at a time."""
    digests = Digests()
    for tensor in container.tensors:
        array = None if isinstance(tensor, Alias) else rebuild(tensor, container)
        digests.add(tensor, array)
    digests.add_decoders(container.decoders)
    return digests


def _identity(tensor: Tensor) -> bytes:
    """Return name, type and shape so that no two tensors give the same bytes."""
    writer = Writer()
    writer.text(tensor.name, spec.MAX_NAME_BYTES)
    if isinstance(tensor, Alias):
        writer.text(tensor.target, spec.MAX_NAME_BYTES)
    else:
        writer.varints([tensor.dtype, len(tensor.shape), *tensor.shape])
        if isinstance(tensor, Latent):
            writer.varint(int(tensor.trellis))
    return writer.getvalue()
