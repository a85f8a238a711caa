"""Style as checks: each returns what it found, a line for each finding.

`tests/unit/test_tidy.py` runs them on the project, and on trees with a planted violation.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# --- what must hold, as data ------------------------------------------------------------

LAYERS: Mapping[str, int] = {
    "relay": 0,  # the package itself: a docstring
    "relay.errors": 0,  # the tree of errors is vocabulary: every layer raises from it
    "relay.protocol": 0,
    "relay.wire": 0,
    "relay.devices": 0,
    "relay.clock": 1,
    "relay.settings": 1,
    "relay.settings_parsed": 1,
    "relay.settings_printed": 1,
    "relay.limits": 1,
    "relay.logs": 1,
    "relay.log_errors": 1,
    "relay.metrics": 1,
    "relay.garbage": 1,
    "relay.process": 1,
    "relay.release": 1,
    "relay.tasks": 1,
    "relay.node": 2,
    "relay.admin": 2,
    "relay.broker.base": 2,
    "relay.broker": 3,
    "relay.store": 3,
    "relay.telemetry": 3,
    "relay.web": 3,
    "relay.app": 4,
    "relay.brokers": 4,
    "relay.directory": 4,
    "relay.server": 4,
    "relay.workers": 4,
    "relay.operators": 4,
    "relay.cli": 4,
    "relay.doctor": 4,
    "relay.demo": 4,
}
"""The longest name that fits decides. A module that none fits is a finding: give it its place."""

USES_THE_SDK = ("relay.demo",)
"""The SDK stands on the relay's protocol, so nothing of the relay uses it but what plays a bot."""

SHELLS = 3
"""The layer whose parts never import each other; each module of `relay.broker` is a part."""

PURE = ("relay.protocol", "relay.wire", "relay.devices")

_EFFECTS = ["asyncio", "concurrent", "logging", "multiprocessing", "os", "random", "secrets"]
_EFFECTS += ["select", "selectors", "socket", "ssl", "subprocess", "threading", "time", "uuid"]
_WEB = ["fastapi", "sse_starlette", "starlette", "uvicorn"]
_SQL = ["aiosqlite", "alembic", "asyncpg", "sqlalchemy", "sqlite3", "sqlmodel"]

BANNED: Mapping[str, Iterable[str]] = {
    "": ["starlette.middleware.base"],  # it hides http.disconnect
    **dict.fromkeys(PURE, _EFFECTS),
    "relay.node": [*_WEB, *_SQL, "redis"],
    "relay.admin": [*_WEB, *_SQL, "redis"],
    "relay.broker.base": [*_WEB, *_SQL, "redis"],
    "relay.limits": [*_EFFECTS, *_WEB, *_SQL, "redis"],
    "relay.broker": [*_WEB, *_SQL],
    "relay.store": [*_WEB, "redis"],
    "relay.web": [*_SQL, "redis"],
}
"""What a package, and all below it, never imports. The empty name is every package."""

THIRD_PARTY: Mapping[str, Iterable[str]] = {
    **{package: ["msgspec"] for package in PURE},
    "relay_sdk": ["msgspec", "websockets"],  # the base install
}
"""The only third parties of a package."""

SDK_MAY_IMPORT = ("relay.protocol", "relay.wire")

NO_TEST_FILE: Mapping[str, str] = {
    "relay.protocol.report": "values without behaviour; the tests of the receiver read them",
    "relay.protocol.events": "values without behaviour; every test of the core uses them",
    "relay.protocol.sending": "values without behaviour; the sender's tests use them",
    "relay.wire.bot_messages": "values without behaviour; the tests of relay.wire.bot_* use them",
    "relay.wire.chunk_json": "values without behaviour; the tests of chunk_frame read them",
    "relay.broker.base": "ports; tests/contract runs them on every broker",
    "relay.node.decisions": "values; the owner's tests decide, write and fail with them",
    "relay.admin.binding": "values without behaviour; the store's tests make them",
    "relay.admin.live": "values without behaviour; the tests of the node's live view make them",
    "relay.admin.ports": "ports; the tests of the store and of the admin API use them",
    "relay.admin.trace_row": "values without behaviour; the store's tests make them",
    "relay.web.hardened.config": "values without behaviour; each hardened server has it",
    "relay.admin.statistics": "values without behaviour; the store's tests make them",
    "relay.doctor.finding": "values without behaviour; the tests of the doctor make them",
    "relay.web.admin.desk": "values without behaviour; the tests of the admin API make them",
    "relay.web.fast.controls": "values without behaviour; the tests of frames make them",
    "relay.devices.base": "a port and its values; the tests of each device use them",
}
"""Modules without a test file of their own, each with the reason."""

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80
"""The hard limits. The soft ones are 300 and 60."""

# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            r"\bpypi\." + "org",
            r"python" + "hosted",
            r"registry\." + "npmjs",
            r"\b(deb|security)\." + r"debian\.org",
            r"(?<![\w.)}])/(root|work|farm)" + r"/[\w.]",
            r"(?<![\w.)}])/(home|Users)" + r"/\w+/",
        ]
    )
)

# --- reading the source -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, and what it imports, by line."""

    name: str
    path: Path
    tree: ast.Module
    imports: tuple[tuple[int, str], ...]


def read_modules(root: Path) -> list[Module]:
    """Parse `relay` and `sdk_py/relay_sdk` under `root`."""
    files = [
        (base, path)
        for base, package in ((root, "relay"), (root / "sdk_py", "relay_sdk"))
        for path in sorted((base / package).rglob("*.py"))
    ]
    names = {path: _dotted(path.relative_to(base)) for base, path in files}
    known = set(names.values())
    modules = []
    for path, name in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        imports = tuple(_imports(tree, package, known))
        modules.append(Module(name, path, tree, imports))
    return modules


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, package: str, known: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from a import b`: b may be a module, and then that one is meant.
                full = f"{base}.{alias.name}"
                third_party = base.partition(".")[0] not in {"relay", "relay_sdk"}
                yield node.lineno, full if third_party or full in known else base


def _within(name: str, packages: Iterable[str]) -> bool:
    return any(not p or name == p or name.startswith(f"{p}.") for p in packages)


# --- the checks -------------------------------------------------------------------------


def layers(modules: Iterable[Module]) -> list[str]:
    """A lower layer never imports a higher one, and shells never import each other."""
    found = []
    for module in modules:
        if module.name.startswith("relay_sdk"):
            continue
        layer, part = _place(module.name)
        if layer is None:
            found.append(f"{module.path}: {module.name} has no layer; add it to LAYERS")
            continue
        for line, target in module.imports:
            if not _within(target, ["relay", "relay_sdk"]):
                continue
            if _within(target, ["relay_sdk"]) and _within(module.name, USES_THE_SDK):
                continue
            target_layer, target_part = _place(target)
            if target_layer is None or target_layer > layer:
                found.append(
                    f"{module.path}:{line}: {module.name} imports {target}, a higher layer"
                )
            elif layer == target_layer == SHELLS and part != target_part:
                found.append(f"{module.path}:{line}: {module.name} imports {target}, another shell")
    return found


def _place(name: str) -> tuple[int | None, str]:
    """Return the layer of a module, and the part of that layer that it belongs to."""
    fitting = [key for key in LAYERS if key == name or (key != "relay" and _within(name, [key]))]
    if not fitting:
        return None, name
    key = max(fitting, key=len)
    part = ".".join(name.split(".")[:3]) if key == "relay.broker" else key
    return LAYERS[key], part


def sdk_imports(modules: list[Module]) -> list[str]:
    """The SDK imports the protocol, the wire, what the wire imports itself, and no more."""
    lent = {
        target
        for module in modules
        if _within(module.name, ["relay.wire"])
        for _, target in module.imports
        if _within(target, ["relay"])
    }
    return [
        f"{module.path}:{line}: {module.name} imports {target}, which the SDK may not know"
        for module in modules
        if _within(module.name, ["relay_sdk"])
        for line, target in module.imports
        if _within(target, ["relay"]) and not _within(target, {*SDK_MAY_IMPORT, *lent})
    ]


def banned_imports(modules: Iterable[Module]) -> list[str]:
    """No package imports what `BANNED` and `THIRD_PARTY` keep from it."""
    own = {"relay", "relay_sdk", "__future__", *sys.stdlib_module_names}
    found = []
    for module in modules:
        banned = [b for key, names in BANNED.items() if _within(module.name, [key]) for b in names]
        allowed = [names for key, names in THIRD_PARTY.items() if _within(module.name, [key])]
        for line, target in module.imports:
            top = target.partition(".")[0]
            stranger = top not in own and any(top not in names for names in allowed)
            if stranger or _within(target, banned):
                found.append(f"{module.path}:{line}: {module.name} may not import {target}")
    return found


def missing_test_files(modules: Iterable[Module], root: Path) -> list[str]:
    """Each module has its test file, at the same place under tests/unit."""
    found = []
    for module in modules:
        if module.path.stem in {"__init__", "__main__"} or module.name in NO_TEST_FILE:
            continue
        top, *folders, stem = module.name.split(".")
        folder = root.joinpath("tests", "unit", *(["sdk"] if top == "relay_sdk" else []), *folders)
        test_file = folder / f"test_{stem}.py"
        if not test_file.is_file():
            found.append(f"{module.path}: no {test_file.relative_to(root)}")
    return found


def missing_docstrings(modules: Iterable[Module]) -> list[str]:
    """Each module and each public function, class and method says what it is for."""
    found = []
    for module in modules:
        if not ast.get_docstring(module.tree):
            found.append(f"{module.path}: no docstring")
        found += [
            f"{module.path}:{node.lineno}: {node.name} has no docstring"
            for node in _public(module.tree)
            if not ast.get_docstring(node)
        ]
    return found


def _public(
    scope: ast.Module | ast.ClassDef,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in scope.body:
        match node:
            case ast.ClassDef() if not node.name.startswith("_"):
                yield node
                yield from _public(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_"):
                # An overload and a setter share the docstring of what they belong to.
                decorators = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
                if not decorators & {"overload", "setter", "override"}:
                    yield node


def too_long(files: Iterable[Path]) -> list[str]:
    """No file and no function is longer than the hard limits."""
    found = []
    for path in files:
        source = path.read_text(encoding="utf-8")
        count = len(source.splitlines())
        if count > FILE_LINES_MAX:
            found.append(f"{path}: {count} lines, at most {FILE_LINES_MAX}")
        for node in ast.walk(ast.parse(source, str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found.append(
                        f"{path}:{node.lineno}: {node.name} has {length} lines, "
                        f"at most {FUNCTION_LINES_MAX}"
                    )
    return found


def forbidden_text(files: Iterable[Path]) -> list[str]:
    """No file names a registry's host or a path of somebody's machine."""
    found = []
    for path in files:
        # A binary file has no lines that somebody wrote, but it may still hold such a text.
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            match = FORBIDDEN_TEXT.search(line)
            if match is not None:
                found.append(f"{path}:{number}: {match.group()}")
    return found


def rules_off_without_reason(pyproject: str) -> list[str]:
    """Each lint rule that is switched off says why, on its own line."""
    rule = re.compile(r'^\s+"(?P<code>[A-Z]+[0-9]*)",\s*(#(?P<reason>.*))?$')
    section, found = "", []
    for number, line in enumerate(pyproject.splitlines(), start=1):
        if line.startswith("["):
            section = line
        match = rule.match(line)
        if match and section.startswith("[tool.ruff.lint") and not (match["reason"] or "").strip():
            found.append(f"line {number}: {match['code']} is off, and nothing says why")
    return found


def tracked_files(root: Path) -> list[Path]:
    """Return the files that git tracks or would track; where there is no git, none is ignored."""
    git = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if git.returncode == 0:
        paths = [root / name for name in git.stdout.decode().split("\0") if name]
    else:
        paths = list(root.rglob("*"))
    return sorted(path for path in paths if path.is_file())
