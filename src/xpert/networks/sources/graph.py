"""A graph of another tool as a torch module: layers where weights are multiplied, functions for the rest.

`GraphBuilder` goes through a graph once, with an example image, and turns each operator into a step. What depends on
constants alone is computed then and there, so that weights which a graph computes are weights. `Graph` is the module:
it goes through the steps. Nothing is generated as code, and nothing that a file names is looked up by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xpert.errors import ConfigError


class Ref(NamedTuple):
    """A value within a graph, by its name."""

    name: str


class Stored(NamedTuple):
    """A tensor that the module holds, by the path of its parameter or buffer."""

    path: str


@dataclass
class Step:
    """One operator: what is called, on what, and what the results are called."""

    outputs: tuple[str, ...]
    """Names of the results; empty ones are not used."""

    call: Callable[..., Any] | str
    """A function, or the path of a layer of the module."""

    arguments: tuple[Any, ...]
    """Values, `Ref` and `Stored`, also within lists."""

    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments, by name."""

    last: tuple[str, ...] = ()
    """Values that no later step reads."""


class Graph(nn.Module):
    """A module that goes through steps.

    Args:
        inputs: Name of the image within the steps.
        steps: In the order in which they run.
        outputs: Names of the results; of one the module gives the tensor, of several a tuple.
    """

    def __init__(self, inputs: str, steps: Sequence[Step], outputs: Sequence[str]) -> None:
        super().__init__()
        self.image, self.results = inputs, tuple(outputs)
        self.steps = _needed(steps, self.results)
        self.one_by_one = False

    def forward(self, image: Tensor) -> Any:  # noqa: D102
        if self.one_by_one and len(image) > 1:
            answers = [self._run(one) for one in image.split(1)]
            return torch.cat(answers) if isinstance(answers[0], Tensor) else tuple(map(torch.cat, zip(*answers)))
        return self._run(image)

    def _run(self, image: Tensor) -> Any:
        values: dict[str, Any] = {self.image: image}
        for step in self.steps:
            call = self.get_submodule(step.call) if isinstance(step.call, str) else step.call
            arguments = [self._resolved(argument, values) for argument in step.arguments]
            options = {name: self._resolved(value, values) for name, value in step.options.items()}
            answer = call(*arguments, **options)
            answers = answer if isinstance(answer, tuple | list) else (answer,)
            values.update(zip(step.outputs, answers))
            for name in step.last:
                values.pop(name, None)
        found = tuple(values[name] for name in self.results)
        return found[0] if len(found) == 1 else found

    def _resolved(self, argument: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(argument, Ref):
            return values[argument.name]
        if isinstance(argument, Stored):
            owner, _, name = argument.path.rpartition(".")
            return getattr(self.get_submodule(owner), name)
        if isinstance(argument, list):
            return [self._resolved(entry, values) for entry in argument]
        return argument


def _needed(steps: Sequence[Step], results: Sequence[str]) -> list[Step]:
    """The steps that results depend on, each with the values that it is the last to read."""
    wanted, kept = set(results), []
    for step in reversed(steps):
        if wanted.isdisjoint(step.outputs):
            continue
        read = {part.name for part in _parts([*step.arguments, *step.options.values()], Ref)}
        step.last = tuple(read - wanted | {name for name in step.outputs if name not in wanted})
        wanted |= read
        kept.append(step)
    return kept[::-1]


class Known(NamedTuple):
    """What is known of a value while a graph is built."""

    example: Any
    """Its value for the example image."""

    constant: bool = False
    """Whether it is the same for all images, however many there are at a time."""

    of_shapes: bool = False
    """Whether it depends on the shapes of images alone."""


class GraphBuilder:
    """Turns operators into steps, one after the other.

    Args:
        where: The source, for messages.
        name: What the image is called.
        image: An example, with the batch.
    """

    def __init__(self, where: str, name: str, image: Tensor) -> None:
        self.where, self.image = where, name
        self.values: dict[str, Known] = {name: Known(image)}
        self.steps: list[Step] = []
        self._parts: dict[str, nn.Module | Tensor] = {}
        self._stored: dict[str, Stored] = {}
        self._paths: dict[str, str] = {}

    def constant(self, name: str, value: Any, path: str | None = None) -> None:
        """Know a value that is the same for all images.

        Args:
            name: What it is called.
            value: The value.
            path: Where the module holds it, such as `features.scale`; unset: among the constants.
        """
        self.values[name] = Known(value, constant=True)
        if path is not None:
            self._paths[name] = path

    def example(self, name: str) -> Any:
        """A value for the example image."""
        return self.values[name].example

    def is_constant(self, *names: str) -> bool:
        """Whether these values are the same for all images."""
        return all(self.values[name].constant for name in names)

    def is_fixed(self, *names: str) -> bool:
        """Whether these values are the same for all images of the example's shape."""
        return all(self.values[name].constant or self.values[name].of_shapes for name in names)

    def same(self, new: str, old: str) -> None:
        """Give a value a second name."""
        known = self.values[old]
        if known.constant:
            self.values[new] = known
        else:
            self.step((new,), _same, (Ref(old),))

    def step(
        self,
        outputs: Sequence[str],
        call: Callable[..., Any],
        arguments: Sequence[Any],
        options: Mapping[str, Any] | None = None,
        *,
        of_shapes: bool = False,
    ) -> None:
        """Add a function; one of constants is computed at once.

        Args:
            outputs: Names of its results.
            call: The function.
            arguments: Values and `Ref`.
            options: Further ones by name.
            of_shapes: Whether its results depend on the shapes of its arguments alone.
        """
        given = dict(options or {})
        read = [part.name for part in _parts([*arguments, *given.values()], Ref)]
        with torch.no_grad():
            answer = call(*self._examples(arguments), **dict(zip(given, self._examples(list(given.values())))))
        if self.is_constant(*read):
            self._know(outputs, answer, constant=True)
            return
        self._know(outputs, answer, of_shapes=of_shapes or self.is_fixed(*read))
        stored = {name: self._reference(value) for name, value in given.items()}
        self.steps.append(Step(tuple(outputs), call, tuple(map(self._reference, arguments)), stored))

    def layer(self, output: str, name: str, module: nn.Module, image: str) -> str:
        """Add a layer, a module of its own; gives its path.

        Args:
            output: Name of its result.
            name: Its path within the module, such as `features.0`; made another where it is taken.
            module: The layer.
            image: Name of what it reads.
        """
        path = self.place(name, module.eval())
        with torch.no_grad():
            self._know((output,), module(self.values[image].example))
        self.steps.append(Step((output,), path, (Ref(image),)))
        return path

    def place(self, name: str, module: nn.Module | Tensor) -> str:
        """Take a layer or parameter into the module, at a path that is free; gives the path."""
        parts = [_identifier(part) for part in name.split(".")]
        path, number = ".".join(parts), 1
        while not self._is_free(path):
            number += 1
            path = f"{'.'.join(parts)}_{number}"
        self._parts[path] = module
        return path

    def _is_free(self, path: str) -> bool:
        above = {path.rpartition(".")[0] for path in self._parts}
        inner = [path.split(".")[:depth] for depth in range(1, path.count(".") + 1)]
        return (
            path not in self._parts
            and not any(owner == path or owner.startswith(f"{path}.") for owner in above)
            and not any(".".join(parts) in self._parts for parts in inner)
            and not any(hasattr(_EMPTY, part) for part in path.split("."))
        )

    def finish(self, outputs: Sequence[str]) -> Graph:
        """The module, which answers with these values.

        Raises:
            ConfigError: If the answer does not depend on the image.
        """
        outputs = [name for name in outputs if not self.values[name].constant]
        if not outputs:
            raise ConfigError(f"{self.where}: its outputs do not depend on its input")
        made = Graph(self.image, self.steps, outputs)
        used = {
            part.path for step in made.steps for part in _parts([*step.arguments, *step.options.values()], Stored)
        } | {step.call for step in made.steps if isinstance(step.call, str)}
        for path, part in self._parts.items():
            if path in used:
                _put(made, path, part)
        return made.eval()

    def _know(self, outputs: Sequence[str], answer: Any, *, constant: bool = False, of_shapes: bool = False) -> None:
        answers = answer if isinstance(answer, tuple | list) else (answer,)
        for name, value in zip(outputs, answers):
            if name:
                self.values[name] = Known(value, constant, of_shapes)

    def _examples(self, arguments: Sequence[Any]) -> list[Any]:
        return [
            self.values[argument.name].example
            if isinstance(argument, Ref)
            else self._examples(argument)
            if isinstance(argument, list)
            else argument
            for argument in arguments
        ]

    def _reference(self, argument: Any) -> Any:
        """An argument as a step holds it: constants become buffers of the module, which go where it goes."""
        if isinstance(argument, list):
            return [self._reference(entry) for entry in argument]
        if not isinstance(argument, Ref) or not self.values[argument.name].constant:
            return argument
        value = self.values[argument.name].example
        if not isinstance(value, Tensor):
            return value
        if argument.name not in self._stored:
            path = self._paths.get(argument.name, f"{_CONSTANTS}.c{len(self._stored)}")
            self._stored[argument.name] = Stored(self.place(path, value.clone()))
        return self._stored[argument.name]


_CONSTANTS = "constants"
_EMPTY = Graph("", (), ())
_FAILURES = (RuntimeError, IndexError, ValueError, TypeError)
"""What operators raise on tensors that they do not take."""


def _same(value: Any) -> Any:
    return value


def _parts(arguments: Sequence[Any], kind: type) -> list[Any]:
    """The arguments of a kind, those within lists, too."""
    found = []
    for argument in arguments:
        if isinstance(argument, kind):
            found.append(argument)
        elif isinstance(argument, list):
            found += _parts(argument, kind)
    return found


def _put(root: nn.Module, path: str, part: nn.Module | Tensor) -> None:
    """Put a layer, parameter or constant at a path within a module."""
    *above, name = path.split(".")
    owner = root
    for step in above:
        if step not in dict(owner.named_children()):
            owner.add_module(step, nn.Module())
        owner = owner.get_submodule(step)
    if isinstance(part, nn.Module):
        owner.add_module(name, part)
    elif isinstance(part, nn.Parameter):
        owner.register_parameter(name, part)
    else:
        owner.register_buffer(name, part, persistent=above[:1] != [_CONSTANTS])


def _identifier(name: str) -> str:
    """A name of a file as the name of a module: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_") or "layer"


@torch.no_grad()
def batched(where: str, graph: Graph, input_shape: Sequence[int], *, whole: bool = False) -> Graph:
    """A graph that takes any number of images at a time, if need be one after the other.

    Files often hold the number of images that they were exported for. Two images together are compared with each alone.

    Args:
        where: The source, for messages.
        graph: Changed in place.
        input_shape: Sizes of one image.
        whole: Whether it takes integers.

    Raises:
        ConfigError: If it does not take one image.
    """
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    images = images.abs().long() if whole else images
    try:
        alone = [graph(image) for image in images.split(1)]
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{where}: does not take a single image: {reason}") from None
    try:
        together = graph(images)
    except _FAILURES:
        graph.one_by_one = True
        return graph
    pairs = [(together, alone)] if isinstance(together, Tensor) else list(zip(together, zip(*alone)))
    graph.one_by_one = not all(
        len(both) == 2 * len(each[0]) and torch.allclose(both, torch.cat(list(each)), rtol=1e-3, atol=1e-4)
        for both, each in pairs
    )
    return graph


__all__ = ["Graph", "GraphBuilder", "Ref", "Step", "batched"]
