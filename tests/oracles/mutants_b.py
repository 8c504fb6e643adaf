"""Planted mistakes in mode B of helper_join: the real text with a few lines changed; each must be caught.

Most keep every result right, as a mistake that nobody notices would.
"""

import types
from collections.abc import Mapping, Sequence

from tests.oracles.helper_join_b import changed
from tests.oracles.mistaken import Change

IDENTITY = "np.arange(shape.n_list_a, dtype=np.uint32)"

CHANGES: Mapping[str, Sequence[Change]] = {
    # -- a mask that is not there: every sum stays right
    "no_mask_of_the_table": (
        ('columns.minus_words(writer.write(words), ab.key("r", column))', "writer.write(words)", 1),
        ('prf.words(ab.key("r", column), shape.slots)', "np.zeros(shape.slots, np.uint64)", 1),
    ),
    "no_mask_of_the_check": (
        ('columns.minus_words(writer.write(checks), ab.key("rc", 0))', "writer.write(checks)", 1),
        ('prf.words(ab.key("rc", 0), shape.slots)', "np.zeros(shape.slots, np.uint64)", 1),
    ),
    "no_mask_r2": (
        ('difference(prf.words_at(ab.key("r2", column), position))', "np.uint64(0)", 1),
        ('prf.sub_words(ab.key("r2", column), hidden)', "pass", 1),
    ),
    "no_mask_of_noise": (
        ('prf.add_words(ab.key("noise", column), share[column])', "pass", 1),
        ('prf.sub_words(ab.key("noise", column), hidden)', "pass", 1),
    ),
    "no_zero_share": (
        ('prf.add_words(ac.key("zero", column), share[column])', "pass", 1),
        ('prf.sub_words(ac.key("zero", column), own)', "pass", 1),
    ),
    # -- a mask that is used twice
    "one_mask_for_all_tables": (('ab.key("r", column)', 'ab.key("r", 0)', 2),),
    "check_under_the_mask_of_values": (('ab.key("rc", 0)', 'ab.key("r", 0)', 2),),
    "one_r2_for_all_columns": (('ab.key("r2", column)', 'ab.key("r2", 0)', 2),),
    "noise_under_the_mask_of_sums": (('ab.key("noise", column)', 'ab.key("r2", column)', 2),),
    # -- an order that is not hidden
    "tokens_in_group_order": (
        ('permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)', IDENTITY, 2),
    ),
    "ends_of_cells_in_order": (
        ('permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)', IDENTITY, 2),
    ),
    # -- tokens and words of check
    "tokens_of_persons_repeat": (
        (
            "tags.tag_rows(key, blocks, rows.occurrence, width=width)",
            "tags.tag_rows(key, blocks, np.ones(rows.cell.size, np.uint16), width=width)",
            1,
        ),
    ),
    "tokens_are_words_of_check": (('("check", CHECK_BYTES)', '("tag", CHECK_BYTES)', 2),),
    "nobody_is_checked_by_zero": (
        (
            "tags.tag_indexed(key, Kind.PADDING_A, 0, padding.size, width=width)",
            'tags.tag_indexed(key, Kind.PADDING_A, 0, padding.size, width=width) * np.uint8(label == "tag")',
            1,
        ),
    ),
    "padding_that_is_a_sentinel": (("Kind.PADDING_A", "Kind.SENTINEL", 1),),
    "half_a_check": (("CHECK_BYTES: Final = 8", "CHECK_BYTES: Final = 4", 1),),
    # -- values that are not multiplied by the match, or by another one
    "values_of_unmatched_rows": (
        (
            "joined(*(left[of_a] for _, of_a in multiplied)),",
            "joined(*(public_one(ctx, rows) if of_a is None else left[of_a] for _, of_a in multiplied)),",
            1,
        ),
    ),
    "matched_the_other_way_round": (("is_zero(ctx, of_table[0])", "is_zero(ctx, of_table[-1])", 1),),
    # -- sizes that depend on records
    "a_table_of_true_size": (
        ("okvs.Writer(tokens, shape.third)", "okvs.Writer(tokens, okvs.third_of(len(tokens)))", 1),
    ),
    # -- noise and who gets what
    "no_noise_of_a": (("        share[column] += noise_a[column]\n", "", 1),),
    "no_noise_of_b": (("noise_b[column].copy()", "np.zeros(shape.g, np.uint64)", 1),),
    "no_noise_of_the_helper": (("        own += noise_c[column]\n", "", 1),),
    "share_to_the_helper": (('yield Send("result", "M7a"', 'yield Send("helper", "M7a"', 1),),
}


def mutant(name: str) -> types.ModuleType:
    """A fresh module with one mistake."""
    extra = {}
    if name == "values_of_unmatched_rows":
        from pets.protocols.rep3.sharing import public

        extra["public_one"] = lambda ctx, rows: public(ctx, 1, rows)
    return changed(name, CHANGES[name], **extra)
