"""Images that stay where they are until a batch of them is needed, read ahead by threads.

What a batch holds does not depend on whether images are streamed: it is what a tensor of all images would give.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AHEAD = 2
"""Batches that are read while one is computed with."""


class StreamedImages:
    """Images as a tensor [n, channels, height, width] of bytes would hold them, read when they are asked for.

    Args:
        read: The pixels of an image by its number, uint8 [height, width, channels], the same every time. Called on
            several threads where `workers` is above 1.
        shape: Channels, height and width.
        indices: Numbers of the images, in order [n].
        workers: Threads that read.
        device: Where batches go.
    """

    dtype = torch.uint8

    def __init__(
        self,
        read: Callable[[int], NDArray[np.uint8]],
        shape: tuple[int, int, int],
        indices: Tensor,
        workers: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self._read, self._shape, self._indices, self._workers = read, shape, indices, workers
        self.device = torch.device(device)

    @property
    def shape(self) -> torch.Size:
        """Images, channels, height and width."""
        return torch.Size((len(self._indices), *self._shape))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, some: slice | Tensor) -> StreamedImages:
        """Some of the images, by a slice or their places; still not read."""
        chosen = self._indices[some.cpu() if isinstance(some, Tensor) else some]
        return StreamedImages(self._read, self._shape, chosen, self._workers, self.device)

    def to(self, device: torch.device | str) -> StreamedImages:
        """The same images, for batches on a device."""
        return StreamedImages(self._read, self._shape, self._indices, self._workers, device)

    def joined(self, other: StreamedImages) -> StreamedImages:
        """These and others of the same source."""
        indices = torch.cat([self._indices, other._indices])
        return StreamedImages(self._read, self._shape, indices, self._workers, self.device)

    def split(self, size: int) -> Iterator[Tensor]:
        """Batches of so many images, in order; the last may be smaller."""
        return self.batches(torch.arange(len(self)).split(size))

    def loaded(self, each: Callable[[int], object] = lambda count: None) -> Tensor:
        """All of them as a tensor in channels-last memory.

        Args:
            each: Called after every batch with the number of its images.
        """
        images = np.empty((len(self), *self._shape[1:], self._shape[0]), np.uint8)
        done = 0
        for batch in self.split(256):
            images[done : done + len(batch)] = batch.cpu().permute(0, 2, 3, 1).numpy()
            done += len(batch)
            each(len(batch))
        return torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)

    def batches(self, places: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images in some places, a tensor in channels-last memory for each choice of places.

        Args:
            places: Choices, each [n] of int64.

        Raises:
            DataError: If an image cannot be read.
        """
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="images")
        chosen = (self._indices[choice.cpu()].tolist() for choice in places)
        waiting: deque[tuple[NDArray[np.uint8], list[Future[Any]]]] = deque()
        try:
            for numbers in islice(chosen, _AHEAD + 1):
                waiting.append(self._begin(pool, numbers))
            while waiting:
                pixels, parts = waiting.popleft()
                for part in parts:
                    part.result()
                waiting.extend(self._begin(pool, numbers) for numbers in islice(chosen, 1))
                yield torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device)
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, numbers: list[int]) -> tuple[NDArray[np.uint8], list[Future[Any]]]:
        """Have the threads fill an array, each with a share of it."""
        pixels = np.empty((len(numbers), *self._shape[1:], self._shape[0]), np.uint8)

        def fill(first: int) -> None:
            for place in range(first, len(numbers), self._workers):
                pixels[place] = self._read(numbers[place])

        return pixels, [pool.submit(fill, first) for first in range(self._workers)]


def in_batches(images: Tensor | StreamedImages, places: Iterable[Tensor]) -> Iterator[Tensor]:
    """The images in some places, for each choice of places; see `StreamedImages.batches`."""
    if isinstance(images, StreamedImages):
        return images.batches(places)
    return (images[choice] for choice in places)


__all__ = ["StreamedImages", "in_batches"]
