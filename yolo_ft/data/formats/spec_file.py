"""The text of a `data.yaml`, parsed: nothing in it is executed, and no entry replaces another. Lesson 06."""

from __future__ import annotations

from pathlib import Path

import yaml

from yolo_ft.core.errors import UserError

TAB = "'\\t'"  # as PyYAML names the character in its sentences


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file (UTF-8, with or without BOM). Raises `UserError` with the mend."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): pass the path of a data.yaml.") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        line = f" in line {mark.line + 1}" if mark else ""
        mend = "; indent with spaces instead of tabs" if TAB in problem else ""
        raise UserError(f"{path} is not valid YAML{line}: {problem}{mend}.") from None
    except ValueError as error:  # such as a date that the calendar does not have
        raise UserError(f"{path} holds a value that YAML cannot read ({error}): put it in quotes.") from None
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: its brackets are nested too deep; close them.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold 'train:', 'val:' and 'names:', but holds no such keys.")
    return content


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain values, which refuses a key that occurs twice instead of taking the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """The mapping as PyYAML reads it; MarkedYAMLError where a key occurs twice."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key '{key.value}' occurs twice; keep one"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node
