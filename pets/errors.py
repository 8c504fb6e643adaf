"""Every way in which this project says no: one table of codes, one class per kind of fault.

A message is lower case without a final period and names party, column, message or path; the hint is an imperative.
Fields are names, public sizes and digests: never a cell, an identifier, a tag, a share or a key, and never a number
computed from records, because a refusal that depends on data is itself a release. Only ``SourceError`` may carry row
numbers, in ``local``, which stays on the holder's own console.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means: text with ``{field}`` places, an imperative hint, and the gRPC status that carries it."""

    text: str
    hint: str
    status: str = "FAILED_PRECONDITION"


CODES: Final[dict[str, Code]] = {
    # -- spec: the author's text is wrong -----------------------------------------------------------------------------
    "spec.unreadable": Code("cannot read {file}: {problem}", "check the path and that the file is UTF-8 TOML"),
    "spec.toml": Code("{file} is not TOML: {problem}", "mend the line that is named", "INVALID_ARGUMENT"),
    "spec.field": Code("{path}: {problem}", "{advice}", "INVALID_ARGUMENT"),
    # -- card: a card file is wrong -----------------------------------------------------------------------------------
    "card.none": Code("no card found in {folder}", "install the package again; its cards are missing", "INTERNAL"),
    "card.unreadable": Code("{file} cannot be read: {problem}", "restore the card from the release", "INTERNAL"),
    "card.field": Code("{file}, {path}: {problem}", "mend the card", "INTERNAL"),
    "card.formula": Code("formula {formula!r} {problem}", "use the grammar of pets/spec/formula.py", "INTERNAL"),
    "card.parameters": Code("card {card}: parameters missing or unknown: {names}", "give what [public] lists", "INTERNAL"),
    "spec.helper": Code(
        "the join needs exactly one computing party that holds none of its tables, found {found}",
        "give one party without a dataset the role \"computing\"",
        "INVALID_ARGUMENT",
    ),
    # -- dp: the privacy budget cannot carry the question ---------------------------------------------------------------
    "dp.scale": Code(
        "{column}: noise of scale sensitivity / epsilon would be above 2^20 in the coarsest useful unit",
        "raise epsilon, or the weight of this column, or lower max_rows_per_person",
        "INVALID_ARGUMENT",
    ),
    "dp.weights": Code(
        "release.differential_privacy.weights names {unknown}, which the query does not noise",
        "use the names that `pets check` prints: {known}",
        "INVALID_ARGUMENT",
    ),
    # -- internal: ours -----------------------------------------------------------------------------------------------
    "internal.gate": Code(
        "message {label} {problem}; nothing was sent", "report this: the code does not follow its card", "INTERNAL"
    ),
    "internal.wrong-array": Code("an array is {got}, the card says {expected}", "report this", "INTERNAL"),
    "internal.big-endian": Code("this host stores numbers big-endian", "run the party on a little-endian host", "INTERNAL"),
    "internal.bug": Code("internal error in {where}", "report this with the log of this party", "INTERNAL"),
}
"""The one table, read in both directions. Sections are kept together by prefix."""


class PetsError(Exception):
    """Base of all refusals. ``str(error)`` is the text, ``error.hint`` says what to do now."""

    prefixes: tuple[str, ...] = ()

    def __init__(self, code: str, **fields: object) -> None:
        if code not in CODES:
            raise KeyError(f"error code {code} is not in errors.CODES")
        if self.prefixes and not code.startswith(self.prefixes):
            raise KeyError(f"error code {code} does not belong to {type(self).__name__}")
        self.code: Final = code
        self.fields: Final[Mapping[str, object]] = fields
        super().__init__(code)

    @property
    def text(self) -> str:
        return f"{self.code}: {CODES[self.code].text.format_map(_Fields(self.fields))}"

    @property
    def hint(self) -> str:
        return CODES[self.code].hint.format_map(_Fields(self.fields))

    def __str__(self) -> str:
        return self.text


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


class SpecError(PetsError):
    """The author's text is wrong."""

    prefixes: tuple[str, ...] = ("spec.", "sql.", "card.")


class LeakError(SpecError):
    """Well formed, but tells someone more than it declares."""

    prefixes = ("leak.", "dp.", "policy.", "legal.")


class BudgetError(SpecError):
    """The privacy budget or the number of runs is used up."""

    prefixes = ("budget.",)


class ApprovalError(PetsError):
    """An approval is missing, expired, replayed, revoked, or for another digest."""

    prefixes = ("approval.",)


class SourceError(PetsError):
    """The input party's own table does not fit the schema in the specification.

    ``local`` holds row numbers and counts for the holder's own console; it is not part of the text.
    """

    prefixes = ("source.",)

    def __init__(self, code: str, *, local: tuple[str, ...] = (), **fields: object) -> None:
        super().__init__(code, **fields)
        self.local: Final = local


class PeerError(PetsError):
    """Another party broke the protocol; the session ends."""

    prefixes = ("peer.",)


class LinkError(PetsError):
    """The network; the only kind worth retrying, as a new run."""

    prefixes = ("link.",)


class RunError(PetsError):
    """A run was refused, stopped or ended."""

    prefixes = ("run.",)


class ReceiptError(PetsError):
    """A receipt does not verify."""

    prefixes = ("receipt.",)


class ConfigError(PetsError):
    """A file of this party's own deployment is wrong: party.toml, policy.toml, directory.toml, keys."""

    prefixes = ("config.",)


class InternalError(PetsError):
    """Ours; no input, file or peer can cause it."""

    prefixes = ("internal.", "plan.")
