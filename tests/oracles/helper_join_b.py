"""helper_join in mode B for tests: the cases of mode A, whose functionality it has too, under its own card."""

import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pets.kernels import prf
from pets.protocols import helper_join as mode_a
from pets.protocols import helper_join_b as hj
from pets.protocols.base import Role
from pets.spec.cards import load_cards
from tests.oracles import helper_join as oracle
from tests.oracles.helper_join import Case
from tests.oracles.mistaken import Change, mistaken


def ones(case: Case) -> frozenset[int]:
    """Columns of b that are 1 for every person: those of the case that happen to be."""
    return frozenset(column for column, words in enumerate(case.y) if set(words) <= {1})


def public(case: Case) -> dict[str, int]:
    return {
        "n_a": case.n_a,
        "n_b": case.n_b,
        "g": case.g,
        "g_l": case.g,
        "k": case.k,
        "v_g": len(case.y),
        "v_t": len(case.y) - len(ones(case)),
        "v": len(case.summed),
        "v_m": len(case.summed),
        "v_c": 0,
        "v_k": 0,
        "x": len(case.x),
        "v_p": sum(of_b not in ones(case) for of_b, _ in case.summed),
        "r": len(case.summed),
    }


def shape(case: Case) -> hj.Shape:
    names = load_cards()[hj.PROTOCOL].names(public(case))
    return hj.Shape(
        n_a=case.n_a,
        n_b=case.n_b,
        g=case.g,
        k=case.k,
        t=names["t"],
        n_list_a=names["n_list_a"],
        n_list_b=names["n_list_b"],
        x=len(case.x),
        v_g=len(case.y),
        summed=tuple(case.summed),
        fixed_ids=case.fixed,
        ones=ones(case),
        third=names["third"],
    )


def families(seed: int, run: str | None = None, **other: int) -> dict[str, oracle.Audited]:
    return oracle.families(seed, run, protocol=hj.PROTOCOL, **other)


def roles(
    case: Case,
    seed: int = 1,
    *,
    noise_words: np.ndarray | None = None,
    local: np.ndarray | None = None,
    keys: Mapping[str, prf.KeyFamily] | None = None,
    code: Any = hj,
) -> dict[str, Role[Any]]:
    """All four roles of a case. ``noise_words`` (3, v, g) uint64; zero without it. ``code``: a mutant, to be caught."""
    sizes, keys = shape(case), families(seed) if keys is None else keys
    drawn = np.zeros((3, sizes.v, sizes.g), np.uint64) if noise_words is None else noise_words
    return {
        "a": code.party_a(sizes, case.rows_of_a(local), keys["ab@a"], keys["ac@a"], drawn[0]),
        "b": code.party_b(sizes, case.people_of_b(), keys["ab@b"], keys["bc@b"], drawn[1]),
        "helper": code.helper(sizes, keys["ac@c"], keys["bc@c"], drawn[2]),
        "result": mode_a.result(sizes),
    }


# -- what the program of the card makes -------------------------------------------------------------------------------

OF_BOTH_MODES = (mode_a.released_by_a, mode_a.released_by_b, mode_a.released_by_helper, mode_a.share_of_helper)
SOURCE = "\n\n".join([Path(hj.__file__).read_text(encoding="utf-8"), *map(inspect.getsource, OF_BOTH_MODES)])
"""The module, with the functions that it has from mode A as its own, so that a mistake may be in them, too."""


def changed(name: str, changes: Sequence[Change] = (), **globals_: Any) -> types.ModuleType:
    """Mode B with a mistake."""
    return mistaken(SOURCE, f"b_{name}", changes, **globals_)


def recording(parts: dict[tuple[str, int], np.ndarray], code: types.ModuleType | None = None) -> types.ModuleType:
    """The module, or a mutant, that notes the parts of what the program makes, by family and summed column.

    A part that two roles have must be the same at both.
    """
    module = changed("recorder") if code is None else code
    keys, matched = load_cards()[hj.PROTOCOL].program.keys, module._matched  # type: ignore[union-attr]

    def noted(shape: hj.Shape, ctx: Any, *args: Any) -> Role[Any]:
        made = yield from matched(shape, ctx, *args)
        for column, words in enumerate(made):
            for component, array in ((ctx.me, words.own), ((ctx.me + 1) % 3, words.next)):
                before = parts.setdefault((keys[component], column), array.copy())
                assert np.array_equal(before, array), "two holders of a part have two"
        return made

    module.__dict__["_matched"] = noted
    return module
