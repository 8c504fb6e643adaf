"""Which Python a program for MPyC may be written in: what honest programs need passes, ways out are refused by line."""

import pytest

from pets.errors import SpecError
from pets.spec.mpyc_program import BUILT_IN, built_in
from pets.spec.mpyc_source import MAX_BYTES, check_source, tree_of

GOOD = """from mpyc.runtime import mpc


def scaled(values, by=2):
    return [by * value for value in values]


async def main():
    await mpc.start()
    secint = mpc.SecInt(64)
    x = scaled([holder[0] for holder in mpc.inputs("x", secint)])
    bound = mpc.parameter("bound")
    total = mpc.sum(x)
    for place in range(len(x)):
        total += mpc.if_else(x[place] < bound, x[place], 0)
    table = {"first": total}
    mpc.release("total", table["first"])
    await mpc.shutdown()


mpc.run(main())
"""

WAYS_OUT = {
    "import os": "imports",
    "from os import system": "imports",
    "from mpyc.runtime import mpc as other": "imports",
    "from mpyc.runtime import pickle": "imports",
    "from mpyc import finfields": "imports",
    "x = ().__class__": "__class__",
    "x = (1).real": ".real",
    "x = mpc.output": "mpc.output",
    "x = mpc.transfer(1)": "mpc.transfer",
    "mpc.peek(1)": "mpc.peek",
    "x = mpc.SecGrp": "mpc.SecGrp",
    "x = mpc.or_(1, 1)": "mpc.or_",
    "x = mpc.xor(1, 1)": "mpc.xor",
    "mpc.threshold = 0": "sets threshold",
    "x = mpc.options": "mpc.options",
    "x = mpc.parties[0].protocol": ".protocol",
    "x = mpc._runtime": "mpc._runtime",
    "m = mpc\nm.output(1)": ".output",
    "x = '{0.__class__}'.format(mpc)": ".format",
    "x = f'{mpc}'": "JoinedStr",
    "x = (i for i in []).gi_frame": ".gi_frame",
    "class A:\n    pass": "ClassDef",
    "try:\n    pass\nexcept ValueError:\n    pass": "Try",
    "with mpc:\n    pass": "With",
    "raise ValueError": "Raise",
    "del mpc": "Delete",
    "def f():\n    yield 1": "Yield",
    "def f():\n    global x": "Global",
    "@mpc.sum\ndef f():\n    pass": "a decorator",
    "__builtins__ = 1": "__builtins__",
    "x = b'bytes'": "bytes",
    "x = 1j": "complex",
    "def f(__x):\n    pass": "__x",
    "f = lambda *, _y: 1": "_y",
    "x = mpc.sum([], _start=1)": "_start",
    "\u03c7 = 1": "letters that look like others",
    "match 1:\n    case 1:\n        pass": "Match",
    "async def f():\n    async for x in []:\n        pass": "AsyncFor",
    "from mpyc.runtime import mpc\nif 1:\n    from mpyc.runtime import mpc": "imports",
}


def test_what_an_honest_program_needs_is_there() -> None:
    source = check_source(GOOD.encode())
    assert source.text == GOOD and len(source.sha256) == 64
    names = [type(each).__name__ for each in tree_of(source).body]
    assert names == ["FunctionDef", "AsyncFunctionDef"], "the import and the run at the end are the worker's"


@pytest.mark.parametrize("text", WAYS_OUT)
def test_a_way_out_is_refused_and_named_with_its_line(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_source(f"{text}\n\nasync def main():\n    pass\n".encode(), file="own.py")
    assert caught.value.code == "spec.program"
    assert WAYS_OUT[text] in str(caught.value)
    assert caught.value.fields["line"] in range(1, text.count("\n") + 2)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "def main():\n    pass\n",
        "async def main(x):\n    pass\n",
        "async def main():\n    pass\nasync def main():\n    pass\n",
        "async def main(:\n",
        "async def main():\n    return '\u202e'\n",
        "async def main():\n    pass\r\n",
        "async def main():\n    return " + "[" * 150 + "]" * 150 + "\n",
        "async def main():\n    return " + "-" * 100 + "1\n",
        "async def main():\n    return [\n" + ("1," * 55 + "\n") * 500 + "    ]\n",
        "async def main():\n    return 1" + " " * 120 + "+ 1\n",
        "async def main():\n\treturn 1\n",
    ],
)
def test_a_text_that_is_no_program_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.program"):
        check_source(text.encode())


def test_bytes_that_are_no_text_and_a_text_that_nobody_reads_are_refused() -> None:
    with pytest.raises(SpecError, match="UTF-8"):
        check_source(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"spec\.too-large"):
        check_source(b"#" * (MAX_BYTES + 1))


def test_one_byte_more_is_another_program() -> None:
    assert check_source(GOOD.encode()).sha256 != check_source(GOOD.encode() + b"\n").sha256


@pytest.mark.parametrize("name", BUILT_IN)
def test_programs_that_come_along_are_within_the_language(name: str) -> None:
    program = built_in(name)
    assert program.id == name and program.written.functionality.startswith("receivers learn")
