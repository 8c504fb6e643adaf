"""The source of a program for MPyC: which Python it may be written in, and the digest that approvals name.

A program is one text. It imports ``mpc`` from ``mpyc.runtime``, as programs for MPyC do, and gets ours in its place; it
defines ``async def main()``, and may end with ``mpc.run(main())``, which is what happens anyway. What it may say is
listed here, node by node and name by name; what is not listed is refused with its line.

What this is worth: the list keeps an honest author within what our runtime can promise (no value is opened but through
``release``, no mask is narrower than the approved width), and it lets whoever reads a program trust what they read:
there is no second way to write ``eval``. It is no wall against an attacker. Python has been broken out of by stranger
ways than anybody lists, so a program runs in a process of its own that has no network, no files, limits, and the shares
of one run (party/mpyc_worker.py), and it runs on records only under an approved digest. Those are the defence.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pets.errors import SpecError
from pets.spec.hidden import HIDDEN, shown

MAX_BYTES: Final = 1 << 16
"""Bytes of a source: it is read by people."""

MAX_WIDTH: Final = 120
"""Characters of a line: what a report shows whole."""

MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 60

MAIN: Final = "main"
FACADE: Final = "mpc"
"""What a program calls its runtime."""

_NODES: Final = (
    *(ast.Module, ast.AsyncFunctionDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign),
    *(ast.For, ast.While, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Assert, ast.Await, ast.Lambda),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Call, ast.keyword, ast.Constant, ast.Attribute),
    *(ast.Subscript, ast.Slice, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.comprehension),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.NamedExpr),
    *(ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
"""What of Python there is. Not: import, class, try, with, yield, del, global, raise, decorators, match, f-strings."""

BUILTINS: Final = frozenset(
    [
        "abs",
        "all",
        "any",
        "bool",
        "dict",
        "divmod",
        "enumerate",
        "filter",
        "float",
        "int",
        "len",
        "list",
        "map",
        "max",
        "min",
        "pow",
        "range",
        "reversed",
        "round",
        "set",
        "sorted",
        "sum",
        "tuple",
        "zip",
    ]
)
"""Functions of Python that there are."""

CALLS: Final = frozenset(
    [
        "SecInt",
        "SecFxp",
        "inputs",
        "parameter",
        "release",
        "parties",
        "start",
        "shutdown",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "pos",
        "abs",
        "lt",
        "eq",
        "ge",
        "is_zero",
        "lsb",
        "mod",
        "pow",
        "inverse",
        "gcd",
        "lcm",
        "sum",
        "prod",
        "in_prod",
        "all",
        "any",
        "min",
        "max",
        "min_max",
        "argmin",
        "argmax",
        "sorted",
        "if_else",
        "if_swap",
        "vector_add",
        "vector_sub",
        "scalar_mul",
        "schur_prod",
        "matrix_prod",
        "matrix_add",
        "matrix_sub",
        "unit_vector",
        "random_bit",
        "random_bits",
        "to_bits",
        "from_bits",
        "convert",
    ]
)
"""What ``mpc`` can do. Nothing that opens a value, and nothing that lets a caller say how wide a mask is.

Nor ``and_``, ``or_``, ``xor`` and ``invert``, which are for fields of characteristic 2: of whole numbers, ``or_`` of
1 and 1 is 3 there. Of secret bits there are ``&``, ``|``, ``^`` and ``~``.
"""

METHODS: Final = frozenset(
    [
        "append",
        "copy",
        "count",
        "extend",
        "index",
        "insert",
        "items",
        "keys",
        "pop",
        "reverse",
        "sort",
        "update",
        "values",
    ]
)
"""Methods of lists and dictionaries; of secret numbers there are operators alone."""

_IMPORT: Final = "mpyc.runtime"
_RUNS: Final = ast.dump(ast.parse(f"{FACADE}.run({MAIN}())").body[0])
_NO_ARGUMENTS: Final = ast.dump(ast.parse("lambda: 0", mode="eval").body.args)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was checked. ``sha256``: of its bytes, 64 hexadecimal digits: what approvals name."""

    text: str
    sha256: str


def check_source(data: bytes, *, file: str = "program") -> Source:
    """Check the source of a program; return it with its digest.

    Raises: SpecError spec.program with the line of what may not be there.
    """
    if len(data) > MAX_BYTES:
        raise SpecError("spec.too-large", file=file, limit=MAX_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _refused(file, 1, "is not UTF-8", "save it as UTF-8") from None
    if found := HIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _refused(file, line, f"has {shown(found.group())}", "remove it: approvers cannot see it")
    if "\r" in text:
        raise _refused(file, 1, "has line ends that are not one newline", "save it with Unix line ends")
    for line, written in enumerate(text.split("\n"), 1):
        if len(written) > MAX_WIDTH or "\t" in written or "\f" in written:
            raise _refused(file, line, f"has a tab, or more than {MAX_WIDTH} characters in a line", "break it")
    tree = _tree(text, file)
    for line, problem, advice in _faults(tree):
        raise _refused(file, line, problem, advice)
    return Source(text, hashlib.sha256(data).hexdigest())


def tree_of(source: Source) -> ast.Module:
    """What is compiled: the checked tree without what the worker does itself, to import ``mpc`` and to run ``main``."""
    tree = _tree(source.text, "program")
    tree.body = [each for each in tree.body if not isinstance(each, ast.ImportFrom) and ast.dump(each) != _RUNS]
    return tree


def _tree(text: str, file: str) -> ast.Module:
    try:
        return ast.parse(text, filename=file)
    except SyntaxError as error:
        raise _refused(file, error.lineno or 1, "is not Python", "mend the line that is named") from None
    except (ValueError, RecursionError, MemoryError):
        raise _refused(file, 1, "is not Python, or is nested too deeply", "write it with fewer parentheses") from None


def _faults(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, problem and advice of everything that may not be there, in the order of the text."""
    body = [each for each in tree.body if ast.dump(each) != _RUNS]
    nodes = [found for each in body for found in _walk(each)]
    if len(nodes) > MAX_NODES:
        yield 1, f"has more than {MAX_NODES} parts", "shorten it"
        return
    yield from sorted((fault for node, depth in nodes for fault in _of(node, depth)), key=lambda fault: fault[0])
    mains = [each for each in body if isinstance(each, ast.AsyncFunctionDef) and each.name == MAIN]
    if len(mains) != 1 or ast.dump(mains[0].args) != _NO_ARGUMENTS:
        yield 1, f"does not define async def {MAIN}(), once", "define it: it is what runs"


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Every node with its depth, without recursion: a hostile text may be deep."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _of(node: ast.AST, depth: int) -> Iterator[tuple[int, str, str]]:
    line = getattr(node, "lineno", 1)
    if depth > MAX_DEPTH:
        yield line, f"is nested more than {MAX_DEPTH} deep", "write it with functions of its own"
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        if (
            depth
            or isinstance(node, ast.Import)
            or node.module != _IMPORT
            or [(a.name, a.asname) for a in node.names] != [(FACADE, None)]
        ):
            yield line, "imports", f"from {_IMPORT} import {FACADE} is all that a program imports"
        return
    if isinstance(node, ast.alias):
        return
    if not isinstance(node, _NODES):
        yield (
            line,
            f"has {type(node).__name__}, which no program may have",
            "see protocols/mpyc_program/README.md, a program",
        )
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
        yield line, "has a decorator", "leave it out: every function here is plain"
    if isinstance(node, ast.Attribute):
        yield from _attribute(node, line)
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes | complex):
        yield line, "has a constant of bytes or complex numbers", "write whole numbers, decimals or names"
    for name in _names(node):
        if name.startswith("_") and name != "_":
            yield line, f"has the name {name}", "names begin with a letter"
        elif not name.isascii():
            yield line, "has a name with letters that look like others", "write names in A to Z"


def _attribute(node: ast.Attribute, line: int) -> Iterator[tuple[int, str, str]]:
    if not isinstance(node.ctx, ast.Load):
        yield line, f"sets {node.attr} of something", "keep values in names and lists"
    of_mpc = isinstance(node.value, ast.Name) and node.value.id == FACADE
    if node.attr not in (CALLS if of_mpc else METHODS):
        what = f"{FACADE}.{node.attr}" if of_mpc else f".{node.attr}"
        advice = "values are opened by release, to whom the specification says" if node.attr in _OPENS else ""
        yield line, f"uses {what}, which no program may use", advice or f"use one of {', '.join(sorted(CALLS))}"


_OPENS: Final = frozenset({"output", "peek", "transfer", "gather", "eq_public", "is_zero_public"})


def _names(node: ast.AST) -> Iterator[str]:
    for field in ("id", "arg", "name"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield value


def _refused(file: str, line: int, problem: str, advice: str) -> SpecError:
    return SpecError("spec.program", file=file, line=line, problem=problem, advice=advice)
