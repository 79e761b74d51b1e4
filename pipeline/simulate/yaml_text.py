"""YAML as its author wrote it: text goes in; plain values, and the line of each, come out.

Every scalar stays the text it is: so no amount passes through a float, and nobody called `no` becomes a boolean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]

_NULL = "tag:yaml.org,2002:null"


class NotYaml(ValueError):
    """The text cannot be read; says the line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says: mappings, lists, texts and None; `lines` has the line of every path in it, from 1."""

    value: Any
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of a value, or of the nearest one around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: str) -> Document:
    """The document of a text.

    Raises:
        NotYaml: it is not YAML, or has a key twice.
    """
    lines: dict[Path, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = None if node is None else _value(node, (), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYaml(line, f"not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise NotYaml(1, f"not YAML: {error}") from None
    except RecursionError:
        raise NotYaml(1, "nested too deeply, or within itself") from None
    return Document(value, lines)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    return None if node.tag == _NULL else node.value


def _items(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, inner in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise NotYaml(key.start_mark.line + 1, "a key is a text, neither a list nor a mapping")
        if key.value in seen:
            raise NotYaml(key.start_mark.line + 1, f"the key {key.value!r} is there twice; take one out")
        seen.add(key.value)
        value = _value(inner, (*path, key.value), lines)
        lines[*path, key.value] = key.start_mark.line + 1
        yield key.value, value
