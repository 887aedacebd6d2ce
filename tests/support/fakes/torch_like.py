"""A tensor with the part of torch's behaviour that the SDK uses, and with the same errors.

PyPI's Linux wheels of torch include gigabytes of CUDA, so the tests can't install it. The behaviour was compared with
torch 2: the calls that need `detach()`, `cpu()` or another type first, the text of a dtype, and the errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_AS_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class DType:
    """A dtype, which has a text only."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


class Device:
    """A device, whose text differs from its `repr`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name


class Tensor:
    """A tensor of numpy's or ml_dtypes' element type, on a device, with or without gradient."""

    def __init__(self, values: Any, dtype: Any = None, *, device: str = "cpu", requires_grad: bool = False) -> None:
        self._array: NDArray[Any] = np.array(values, dtype)
        self.device = device
        self.requires_grad = requires_grad
        self.is_sparse = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self._array.shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        return DType(self._array.dtype.name)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def detach(self) -> Tensor:
        """Return the same memory without gradient."""
        return self._like(self._array, requires_grad=False)

    def cpu(self) -> Tensor:
        """Return the tensor in the host's memory."""
        found = self._like(self._array)
        found.device = "meta" if self.device == "meta" else "cpu"
        return found

    def float(self) -> Tensor:
        """Return the tensor as float32."""
        return self._like(self._array.astype(np.float32))

    def item(self) -> Any:
        """Return the only element, with or without gradient, from any device that has values."""
        if self._array.size != 1:
            raise RuntimeError(f"a Tensor with {self._array.size} elements cannot be converted to Scalar")
        if self.device == "meta":
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return self._plain().item()

    def tolist(self) -> Any:
        """Return nested lists, or the element of a tensor without dimensions."""
        if self.device == "meta":
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return self._plain().tolist()

    def numpy(self) -> NDArray[Any]:
        """Return numpy's array of the same memory."""
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        if self._array.dtype == _AS_BFLOAT16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.numpy(), dtype)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self._like(part) for part in self._array)

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def __float__(self) -> Any:
        return float(self.item())

    def _plain(self) -> NDArray[Any]:
        return self._array.astype(np.float32) if self._array.dtype == _AS_BFLOAT16 else self._array

    def _like(self, array: NDArray[Any], *, requires_grad: bool | None = None) -> Tensor:
        found = Tensor.__new__(Tensor)
        found._array, found.device, found.is_sparse = array, self.device, False
        found.requires_grad = self.requires_grad if requires_grad is None else requires_grad
        return found


Tensor.__module__ = "torch"
