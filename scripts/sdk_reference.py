"""Writes the reference of docs/sdk.md from the SDK's docstrings.

python scripts/sdk_reference.py
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sdk.md"
MARK = "<!-- From here on made by scripts/sdk_reference.py -->\n"

INNER = {
    "Answer": {"__init__"},
    "Bot": {"on_message", "on_lost"},
    "FakeRelay": {"attach", "detach", "receive"},
    "Question": {"__init__", "changed"},
    "Reply": {"__init__", "cancelled"},
}
"""What is public in Python and not for the SDK's users: parts of the SDK call it."""

SECTIONS = (
    ("Bots", ["Bot", "Command", "DeviceContext", "Reply", "ReplyOutcome"]),
    ("Devices", ["Device", "Answer"]),
    ("What a device reads", ["Text", "ToolCall", "FollowUp", "Repair", "Gap", "Ended"]),
    ("Times and limits", ["ConnectionTimes", "SenderLimits", "DeviceTimes"]),
    ("Testing: `relay_sdk.testing`", ["FakeRelay", "Question", "BotAnswer"]),
)


def render() -> str:
    """Return the whole reference."""
    sys.path[:0] = [str(ROOT), str(ROOT / "sdk_py")]
    import relay_sdk  # noqa: PLC0415 - the path comes first
    from relay_sdk import errors, testing  # noqa: PLC0415

    told: set[str] = {"DeviceEvent"}
    parts = [MARK, "\n## Reference\n"]
    for title, names in SECTIONS:
        parts.append(f"\n### {title}\n")
        for name in names:
            told.add(name)
            home: ModuleType = relay_sdk if hasattr(relay_sdk, name) else testing
            parts += _class(getattr(home, name))
    parts += ["\n### Errors\n", f"\n{inspect.cleandoc(errors.__doc__ or '')}\n"]
    told |= {name for name, one in vars(errors).items() if inspect.isclass(one)}
    told.add("Limits")
    forgotten = {*relay_sdk.__all__, *testing.__all__} - told
    if forgotten:
        raise SystemExit(f"not in any section: {sorted(forgotten)}")
    return "".join(parts)


def _class(one: type) -> Iterator[str]:
    inner = INNER.get(one.__name__, set())
    takes = "" if "__init__" in inner else _arguments(one)
    yield f"\n#### `{one.__name__}{takes}`\n\n{inspect.cleandoc(one.__doc__ or '')}\n"
    lines = [*_fields(one), *_members(one, inner)]
    if lines:
        yield "\n" + "".join(lines)


def _fields(one: type) -> Iterator[str]:
    """The fields of a dataclass, each with the string below it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    assert isinstance(node, ast.ClassDef)
    for at, field in enumerate(node.body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        below = node.body[at + 1] if at + 1 < len(node.body) else None
        said = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            said = f": {_line(str(below.value.value))}"
        value = f" = {ast.unparse(field.value)}" if field.value is not None else ""
        yield f"- `{field.target.id}{value}`{said}\n"


def _members(one: type, inner: set[str]) -> Iterator[str]:
    for name, member in vars(one).items():
        if name.startswith("_") or name in inner:
            continue
        if isinstance(member, property):
            yield f"- `.{name}`: {_line(member.fget.__doc__ or '')}\n"
        elif inspect.isfunction(member):
            called = inspect.unwrap(member)
            awaited = "await " if inspect.iscoroutinefunction(called) else ""
            if inspect.isasyncgenfunction(called):
                awaited = "async with "
            elif inspect.isgeneratorfunction(called) or "ContextManager" in str(
                inspect.signature(member).return_annotation
            ):
                awaited = "with "
            yield f"- `{awaited}.{name}{_arguments(member)}`: {_line(member.__doc__ or '')}\n"


def _arguments(called: object) -> str:
    signature = inspect.signature(called)  # type: ignore[arg-type]  # classes and functions
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(bare))


def _line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Write the reference behind the guide."""
    guide = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(guide + render(), encoding="utf-8")


if __name__ == "__main__":
    main()
