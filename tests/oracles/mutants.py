"""Planted mistakes in helper_join: each is the real text with a few lines changed, and each must be caught.

Most keep every result right, as a mistake that nobody notices would. ``PITFALL`` numbers are
those of protocols.md 1.14, ``B`` numbers those of threats-and-tests.md 4.6.
"""

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pets.kernels import prf
from pets.protocols import helper_join as hj
from pets.protocols.base import Array
from pets.secret import Secret
from tests.oracles.mistaken import Change, mistaken

SOURCE = Path(hj.__file__).read_text(encoding="utf-8")


def changed(name: str, changes: Sequence[Change], **globals_: Any) -> types.ModuleType:
    """Mode A with a mistake."""
    return mistaken(SOURCE, f"a_{name}", changes, **globals_)


class Weak:
    """``prf`` whose words have been spoilt by ``spoil``, for masks alone: permutations stay what they are."""

    def __init__(self, spoil: Any) -> None:
        self._spoil = spoil

    def words(self, key: Secret[bytes], count: int) -> Array:
        return self._spoil(prf.words(key, count))

    def words_at(self, key: Secret[bytes], index: Array) -> Array:
        return self._spoil(prf.words_at(key, index))

    def add_words(self, key: Secret[bytes], values: Array) -> None:
        values += self.words(key, values.size)

    def sub_words(self, key: Secret[bytes], values: Array) -> None:
        values -= self.words(key, values.size)

    def minus_words(self, values: Array, key: Secret[bytes]) -> Array:
        return values - self.words(key, values.size)


class _Columns:
    """``columns`` with the spoilt ``minus_words``."""

    def __init__(self, weak: Weak) -> None:
        self.minus_words = weak.minus_words

    def __getattr__(self, name: str) -> Any:
        return getattr(hj.columns, name)


def weak(name: str, spoil: Any) -> types.ModuleType:
    spoilt = Weak(spoil)
    module = changed(name, ())
    module.__dict__.update(prf=spoilt, columns=_Columns(spoilt))
    return module


ZEROS_A = "np.zeros(shape.n_list_a, np.uint64)"
IDENTITY = "np.arange(shape.n_list_a, dtype=np.uint32)"

CHANGES: Mapping[str, Sequence[Change]] = {
    # -- a mask that is not there: every sum stays right
    "no_mask_u": (
        ('columns.minus_words(placed, ab.key("u", column))', "placed.copy()", 1),
        ('prf.words(ab.key("u", of_a), shape.n_list_a)', ZEROS_A, 1),
    ),
    "no_mask_v": (('prf.words(bc.key("v", of_b), shape.n_list_a)', ZEROS_A, 2),),
    "no_mask_w": (
        ('prf.add_words(ab.key("w", product), matched)', "pass", 1),
        ('prf.sub_words(ab.key("w", product), dealt)', "pass", 1),
    ),
    "no_mask_r": (
        ('prf.sub_words(bc.key("r", column), masked)', "pass", 1),
        ('prf.words_at(bc.key("r", column), tau)', "np.zeros(tau.size, np.uint64)", 1),
    ),
    "no_mask_r1": (
        ('prf.add_words(ac.key("r1", column), matched)', "pass", 1),
        ('prf.sub_words(ac.key("r1", column), word)', "pass", 1),
    ),
    "no_mask_r2": (
        ('difference(prf.words_at(ab.key("r2", column), position))', "np.uint64(0)", 2),
        ('prf.sub_words(ab.key("r2", column), hidden)', "pass", 1),
    ),
    "no_mask_of_noise": (
        ('prf.add_words(ab.key("noise", column), share[column])', "pass", 1),
        ('prf.sub_words(ab.key("noise", column), hidden)', "pass", 1),
    ),
    "no_zero_share": (  # PITFALL 5, B07
        ('prf.add_words(ac.key("zero", column), share[column])', "pass", 1),
        ('prf.sub_words(ac.key("zero", column), own)', "pass", 1),
    ),
    # -- a mask that is used twice
    "one_r_for_all_columns": (('bc.key("r", column)', 'bc.key("r", 0)', 2),),  # PITFALL 7
    "one_r1_for_all_columns": (('ac.key("r1", column)', 'ac.key("r1", 0)', 2),),
    "one_r2_for_all_columns": (('ab.key("r2", column)', 'ab.key("r2", 0)', 3),),
    "one_u_for_all_columns": (('ab.key("u", column)', 'ab.key("u", 0)', 1), ('ab.key("u", of_a)', 'ab.key("u", 0)', 1)),
    "one_v_for_all_columns": (('bc.key("v", of_b)', 'bc.key("v", 0)', 2),),
    "one_w_for_all_products": (('ab.key("w", product)', 'ab.key("w", 0)', 2),),  # B03
    "u_by_product": (('ab.key("u", of_a)', 'ab.key("u", len(shape.products) - 1 - of_a)', 1),),  # PITFALL 11
    "noise_under_the_mask_of_sums": (('ab.key("noise", column)', 'ab.key("r2", column)', 2),),
    "draw_under_the_key_of_q": (('ab.key("D", purpose="draw of dummies")', 'ab.key("q", purpose="permutation")', 1),),
    "key_of_the_wrong_pair": (('ac.key("zero", column), share', 'ab.key("zero", column), share', 1),),  # PITFALL 15
    # -- an order that is not hidden
    "tags_in_group_order": (  # PITFALL 1, B04
        ('permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)', IDENTITY, 2),
    ),
    "ends_of_cells_in_order": (
        ('permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)', IDENTITY, 2),
    ),
    "matches_in_order": (
        (
            'permute.permutation(bc.key("rho", purpose="permutation"), shape.n)',
            "np.arange(shape.n, dtype=np.uint32)",
            2,
        ),
    ),
    "order_of_a_biased": (  # B05
        ('permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)', "_half_shuffled(ab, shape)", 2),
    ),
    "list_of_a_sorted": (  # PITFALL 3
        (
            'yield Send("helper", "M1", _tags_of_a(shape, brought, ab, at, q, bounds, first))',
            "listed = _tags_of_a(shape, brought, ab, at, q, bounds, first)\n"
            '    yield Send("helper", "M1", join.sort_tags(listed)[1])',
            1,
        ),
    ),
    "list_of_b_unsorted": (
        (
            "order, listed = join.sort_tags(_tags_of_b(shape, people, ab))",
            "listed = _tags_of_b(shape, people, ab)\n    order, _ = join.sort_tags(listed)",
            1,
        ),
    ),
    # -- sizes, slots, sentinels
    "no_sentinels": (
        (".astype(np.int64) + 1\n", ".astype(np.int64)\n", 1),
        ("sizes[0] += shape.w +", "sizes[0] += shape.g + shape.w +", 1),
        ("in_first_cell : bounds[1] - 1]", "in_first_cell : bounds[1] - shape.g]", 1),
        ("q[bounds[1:] - 1]", "q[bounds[1] - shape.g : bounds[1]]", 1),
    ),
    "same_zero_slot": (  # PITFALL 6
        ("    del match\n", "    tau = np.where(match == join.UNMATCHED, tau[match == join.UNMATCHED][:1], tau)\n", 1),
    ),
    "same_zero_slot_unchecked": (
        ("    del match\n", "    tau = np.where(match == join.UNMATCHED, tau[match == join.UNMATCHED][:1], tau)\n", 1),
        ('    check_positions(tau, shape.n, "M4")\n', "", 1),
    ),
    "dummies_that_count": (  # PITFALL 8
        (
            "    del order, rho\n",
            "    dummy_at = rho[np.argsort(order)[shape.k * persons : shape.k * persons + shape.s]]\n"
            "    del order, rho\n",
            1,
        ),
        (
            '        yield Send("a", "M3", masked, column)\n',
            "        columns.scatter_into(masked, dummy_at, np.ones(shape.s, np.uint64))\n"
            '        yield Send("a", "M3", masked, column)\n',
            1,
        ),
    ),
    "length_of_b_depends_on_d": (  # PITFALL 2, B12
        (
            "tags.tag_indexed(key, filler, 0, shape.w - dummies, width=shape.t)",
            "tags.tag_indexed(key, filler, 0, 0 if filler is Kind.FILLER_B else shape.w - dummies, width=shape.t)",
            1,
        ),
    ),
    "one_filler_for_both": (("Kind.FILLER_B", "Kind.FILLER_A", 1),),
    "padding_that_matches": (("Kind.PADDING_B", "Kind.PADDING_A", 1),),
    "no_dummies": (("dummies = dummy.draw_dummies(shape.dummies, low | (high << 64))", "dummies = 0", 1),),
    "same_number_of_dummies": (
        ("dummies = dummy.draw_dummies(shape.dummies, low | (high << 64))", "dummies = shape.s", 1),
    ),
    "half_of_the_draw": (("low | (high << 64)", "low", 1),),
    "matched_rows_only": (  # B12
        ("    del match\n", "    matched = int(np.count_nonzero(match != join.UNMATCHED))\n    del match\n", 1),
        (
            'yield Send("a", "Mf", share[of_b] - v[of_b], place)',
            'yield Send("a", "Mf", (share[of_b] - v[of_b])[:matched], place)',
            1,
        ),
    ),
    # -- noise and who gets what
    "no_noise_of_a": (("        share[column] += noise_a[column]\n", "", 1),),  # B06
    "no_noise_of_b": (("noise_b[column].copy()", "np.zeros(shape.g, np.uint64)", 1),),
    "no_noise_of_the_helper": (("        own += noise_c[column]\n", "", 1),),
    "share_to_everyone": (  # B11
        (
            '        yield Send("result", "M7a", share[column], column)\n',
            '        yield Send("result", "M7a", share[column], column)\n'
            '        yield Send("b", "M7a", share[column], column)\n',
            1,
        ),
    ),
    "share_to_the_helper": (('yield Send("result", "M7a"', 'yield Send("helper", "M7a"', 1),),
    "sent_under_another_label": (('yield Send("helper", "Mn"', 'yield Send("helper", "M6"', 1),),
    "sent_too_early": (
        ('    yield Send("helper", "M8", position)\n', "", 1),
        (
            '    yield Send("helper", "M1", _tags',
            "    position = np.arange(shape.g, dtype=np.uint32)\n"
            '    yield Send("helper", "M8", position)\n    yield Send("helper", "M1", _tags',
            1,
        ),
    ),
}

SPOILT: Mapping[str, Any] = {
    "constant_masks": lambda words: np.full_like(words, 0x0123456789ABCDEF),  # B01
    "one_bit_of_eight": lambda words: words & np.uint64(0x0101010101010101),  # B02
    "masks_below_2_32": lambda words: words & np.uint64(0xFFFFFFFF),  # B08
    "masks_of_a_prime": lambda words: words % np.uint64(2**61 - 1),  # B08
    "even_masks": lambda words: words & ~np.uint64(1),
}


def _half_shuffled(ab: prf.KeyFamily, shape: hj.Shape) -> Array:
    """Only the odd places are shuffled among themselves."""
    q = np.arange(shape.n_list_a, dtype=np.uint32)
    odd = q[1::2].copy()
    q[1::2] = odd[hj.permute.permutation(ab.key("q", purpose="permutation"), odd.size)]
    return q


NAMES = (*CHANGES, *SPOILT)


def mutant(name: str) -> types.ModuleType:
    """The module with the mistake of that name."""
    if name in SPOILT:
        return weak(name, SPOILT[name])
    return changed(name, CHANGES[name], _half_shuffled=_half_shuffled)
