"""The specification: the one object that an approver signs and a machine enforces.

A strict, frozen model. Unknown keys, wrong types and floats are refused with their path. Quantities that are not whole
numbers (epsilon, delta, bounds of decimals) are strings, parsed to exact fractions where they are used.
"""

import datetime as dt
import re
from collections.abc import Mapping, Set
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pets.ids import MISSING, PartyId
from pets.spec.control import MOST_ROUNDED, PRESETS, PresetName, Rounding, Zeros, control_of, why_weaker
from pets.spec.periods import Schedule

FORMAT = 1
"""Version of the specification format: the value of the key ``pets``."""

DESIGN = "design"
"""Placeholder of a legal or purpose field in a draft. ``local_network`` accepts it, a party server refuses it."""

MAX_ROWS = 2**31
MAX_LEVELS = 200_000

MAX_HOLDERS: Final = 1000
"""Parties that bring parts of one table: up to so many are measured and tested (benchmarks/check.py)."""

MAX_PARTIES: Final = 1100

_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_QUANTITY = re.compile(r"([0-9]{1,9}(\.[0-9]{1,18})?)|(2\^-[0-9]{1,3})|([0-9]{1,9}/[0-9]{1,9})")
"""Digits are 0 to 9: those of other scripts are numbers to Python too, and nobody who approves can read them."""


def quantity(text: str) -> Fraction:
    """Parse a positive exact quantity: ``"0.5"``, ``"1/3"`` or ``"2^-40"``."""
    if not _QUANTITY.fullmatch(text):
        raise ValueError('write a positive decimal ("0.5"), a fraction ("1/3") or a power of two ("2^-40") as a string')
    if text.startswith("2^-"):
        return Fraction(1, 2 ** int(text[3:]))
    if text.endswith("/0") or ("/" in text and int(text.split("/")[1]) == 0):
        raise ValueError("a fraction needs a denominator above zero")
    return Fraction(text)


def _positive(text: str) -> str:
    if quantity(text) <= 0:
        raise ValueError("must be above zero")
    return text


def _decimal(text: str) -> str:
    if not _DECIMAL.fullmatch(text):
        raise ValueError('write a decimal number as a string, for example "12.50"')
    return text


def _pattern(form: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{form.pattern})$"})


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
PartyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
San = Annotated[str, Field(pattern=r"^spiffe://[a-z0-9.-]{1,253}(/[A-Za-z0-9._-]+)+$", max_length=2048)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Quantity = Annotated[str, AfterValidator(_positive), _pattern(_QUANTITY)]
Decimal = Annotated[str, AfterValidator(_decimal), _pattern(_DECIMAL)]
Rows = Annotated[int, Field(ge=1, le=MAX_ROWS)]


PbppSection = Literal[
    "people",
    "organisations",
    "overview 3.1",
    "overview 3.2",
    "overview 3.3",
    "overview 3.4",
    "data and methodology",
]


class Model(BaseModel):
    """Base: no unknown keys, no coercion, no change after construction."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


def frozen(value: Any) -> Any:
    """What TOML or JSON gave, as strict and frozen models take it: tuples in the place of lists."""
    if isinstance(value, Mapping):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


class Purpose(Model):
    statement: Text
    dpv: tuple[Text, ...] = Field(min_length=1)
    public_benefit: Text
    author: Text
    use: Literal["statistics", "algorithmic tool", "decisions on individuals"] | None = None
    """What the result is for, where that is more than statistics."""
    atrs: Text | None = None
    """Reference of the draft record under the Algorithmic Transparency Recording Standard."""
    ethics: Text | None = None
    """Reference of an ethical review."""


class Party(Model):
    name: PartyName
    organisation: Text
    roles: tuple[Literal["input", "computing", "result"], ...] = Field(min_length=1)
    san: San
    country: Country | None = None
    """Where it computes (ISO 3166-1)."""
    acts_as: Literal["controller", "joint controller", "processor"] | None = None
    """What it is in law, for this computation."""


class Column(Model):
    """One column that a specification may touch. What is not listed does not exist for it.

    ``required`` measures have no NULLs (a NULL is refused when the snapshot is taken), which lets AVG share COUNT(*).
    """

    role: Literal["person id", "dimension", "measure", "filter only"]
    type: Literal["category", "integer", "decimal", "date", "text"] | None = None
    scheme: Literal["nhs-number", "text"] | None = None
    levels: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    min: int | Decimal | None = None
    max: int | Decimal | None = None
    places: Annotated[int, Field(ge=0, le=9)] = 0
    unit: Annotated[str, Field(max_length=40)] | None = None
    clamp: bool = False
    required: bool = False
    sensitivity: Literal["none", "personal", "special category", "criminal offence"] = "personal"

    @property
    def scaled_range(self) -> tuple[int, int]:
        """Range of a measure in units of its last place (``places`` = 2: pounds become pence)."""
        scale = 10**self.places
        assert self.min is not None and self.max is not None
        return int(Fraction(self.min) * scale), int(Fraction(self.max) * scale)

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role == "person id":
            if self.scheme is None:
                raise ValueError('a person id needs a scheme: "nhs-number" or "text"')
            if self.type or self.levels or self.min is not None or self.max is not None:
                raise ValueError("a person id has a scheme and nothing else")
            return self
        if self.scheme is not None:
            raise ValueError("only a person id has a scheme")
        if self.type is None:
            raise ValueError("needs a type")
        if self.role == "dimension" and (self.type != "category" or not self.levels):
            raise ValueError("a dimension is a category with declared levels")
        if self.levels:
            if self.type != "category":
                raise ValueError("only a category has levels")
            if len(self.levels) > MAX_LEVELS or len(set(self.levels)) != len(self.levels):
                raise ValueError("levels must be distinct")
            if MISSING in self.levels:
                raise ValueError(f"the level {MISSING} is always there and is not declared")
        if self.type != "decimal" and self.places:
            raise ValueError("only a decimal has places")
        if self.role == "measure":
            if self.type not in ("integer", "decimal"):
                raise ValueError("a measure is an integer or a decimal")
            if self.min is None or self.max is None:
                raise ValueError("a measure needs min and max: its noise is scaled to them")
            low, high = (Fraction(self.min), Fraction(self.max))
            if (low * 10**self.places).denominator != 1 or (high * 10**self.places).denominator != 1:
                raise ValueError("min and max have more places than the column")
            if low > high:
                raise ValueError("min is above max")
            if max(abs(x) for x in self.scaled_range) >= 2**53:
                raise ValueError("the range is wider than 2^53 units of the last place")
        elif self.min is not None or self.max is not None or self.clamp or self.required:
            raise ValueError("min, max, clamp and required belong to a measure")
        return self


class Dataset(Model):
    """A table that one input party brings, or that several do, each a part with the same columns.

    ``max_rows`` is what others learn about its size; ``holders`` says it of each part, in the place of ``party`` and
    ``max_rows``. ``max_rows_per_person`` is of the rows that one party brings. ``max_holders_per_person`` says that
    nobody is at more of them, as where everybody is registered at one practice: no party can check it.
    """

    name: Name
    holders: dict[PartyName, Rows] | None = None
    """Of a table of several parties: each, and the greatest number of rows that it brings."""
    one_party: PartyName | None = Field(default=None, alias="party", validate_default=True)
    privacy_unit: Literal["person"] = "person"
    rows_per_person: Annotated[int, Field(ge=1, le=1000)] = Field(alias="max_rows_per_person")
    holders_per_person: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, alias="max_holders_per_person"
    )
    one_max_rows: Rows | None = Field(default=None, alias="max_rows", validate_default=True)
    truncate: bool = False
    """Keep a random ``max_rows_per_person`` of a person's rows; without it more rows are refused."""
    refresh: Literal["frozen", "each run", "daily", "weekly", "monthly", "quarterly", "yearly"] = "frozen"
    patient_information: bool | None = None
    """Whether it is confidential patient information; not said: it is, if a column is of special category (LL-14)."""
    access_rights: Text | None = None
    """What its catalogue says: an access right of the EU authority table (``access-right:RESTRICTED``)."""
    data_use: tuple[Text, ...] | None = None
    """What its catalogue says: codes of the Data Use Ontology (``DUO:0000042``)."""
    law: Text | None = None
    """What its catalogue says: the law that applies to it."""
    columns: dict[Name, Column]

    @field_validator("one_party", "one_max_rows", mode="after")
    @classmethod
    def _said_once(cls, value: object, info: ValidationInfo) -> object:
        """Either a party and its rows, or the holders with theirs."""
        several = info.data.get("holders") is not None
        if value is None and not several:
            raise PydanticCustomError("missing", "Field required")
        if value is not None and several:
            raise ValueError("holders says it of each of them: leave it out")
        return value

    @property
    def parties(self) -> Set[PartyId]:
        """Who brings the table, or a part of it, in the order of ``holders``."""
        if self.holders:
            return cast("Set[PartyId]", self.holders.keys())
        return frozenset((PartyId(self.one_party or ""),))

    @property
    def party(self) -> PartyId:
        """The one party that brings the table. Raises: ValueError if there are several."""
        if self.one_party is None:
            raise ValueError(f"{self.name} has several holders")
        return PartyId(self.one_party)

    @property
    def several(self) -> bool:
        """True if several parties may bring parts of the table."""
        return self.holders is not None

    def rows_of(self, party: str) -> int:
        """The greatest number of rows that one of its parties brings."""
        if self.holders is not None:
            return self.holders[party]
        assert self.one_max_rows is not None
        return self.one_max_rows

    def part(self, party: str) -> "Dataset":
        """What one of its parties brings, as a table of its own."""
        if self.holders is None:
            return self
        own = {"holders": None, "holders_per_person": None, "one_party": party, "one_max_rows": self.holders[party]}
        return self.model_copy(update=own)

    @property
    def max_rows(self) -> int:
        """The greatest number of rows of the whole table."""
        return sum(self.rows_of(party) for party in self.parties)

    @property
    def max_rows_per_person(self) -> int:
        """The greatest number of rows of one person in the whole table."""
        return self.rows_per_person * self.most_holders

    @property
    def most_holders(self) -> int:
        """At how many of its parties one person is at most: at all of them, if nothing else is said."""
        return min(len(self.parties), self.holders_per_person or len(self.parties))

    @property
    def says_fewer_holders(self) -> bool:
        """True if a person is said to be at fewer parties than there are, which no party can check."""
        return self.most_holders < len(self.parties)

    @property
    def key(self) -> str:
        """Name of the person id column."""
        return next(name for name, column in self.columns.items() if column.role == "person id")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.holders is not None and not self.holders:
            raise ValueError("holders names nobody")
        if self.holders is not None and len(self.holders) > MAX_HOLDERS:
            raise ValueError(
                f"holders names {len(self.holders):,} parties, and at most {MAX_HOLDERS:,} may bring parts of one table"
            )
        if self.holders_per_person is not None and (
            self.holders is None or self.holders_per_person > len(self.holders)
        ):
            raise ValueError("max_holders_per_person is of the holders of a table, and there are no more than these")
        if sum(column.role == "person id" for column in self.columns.values()) != 1:
            raise ValueError("needs exactly one column with the role person id")
        folded = [name.lower() for name in self.columns]
        if len(set(folded)) != len(folded):
            raise ValueError("column names differ only in capitals, which SQL does not tell apart")
        return self


class Dpia(Model):
    id: Text
    outcome: Text
    consultation: Text | None = None
    """Reference of the prior consultation of the regulator, where the outcome asks for one."""


class Power(Model):
    """A task or power in law, and whose it is."""

    act: Text
    of: Text


class Pbpp(Model):
    """The Public Benefit and Privacy Panel for Health and Social Care: its approval, or why none is needed.

    ``form``: sections of its form that this specification and its attachments fill in.
    """

    approval: Text | None = None
    exemption: Text | None = None
    form: tuple[PbppSection, ...] | None = None


class Accreditation(Model):
    """Accreditations under the Digital Economy Act 2017, Part 5 chapter 5."""

    environment: Text | None = None
    project: Text | None = None
    processors: Text | None = None
    researchers: Text | None = None


class Legal(Model):
    """The ground on which a party takes part, as it states it. What the linter asks of it: check/legal.py.

    Fields that may be left out are None then and no part of the canonical form: adding one here changes no digest.
    """

    controller: Text
    law: Text
    jurisdiction: Text
    article6: Text
    article9: Text | None = None
    schedule1: Text | None = None
    gateway: Text | None = None
    confidentiality: Text | None = None
    dpia: Dpia
    retention: Text
    notice: Text
    agreement: Text | None = None
    agreement_until: dt.date | None = None
    """Last day of the data sharing agreement."""
    basis_recorded: dt.date | None = None
    """When the lawful basis was written down."""
    public_authority: bool | None = None
    power: Power | None = None
    """The task or statutory power that Article 6(1)(e) rests on."""
    annex1: Text | None = None
    """The condition of Annex 1 of the UK GDPR that a recognised legitimate interest rests on."""
    article10: Text | None = None
    """For criminal offence data: official authority, or the condition of Schedule 1 of the DPA 2018."""
    joint_with: tuple[Text, ...] | None = None
    """Joint controllers beside ``controller``."""
    arrangement: Text | None = None
    """Reference of the joint controllers' arrangement."""
    processing_agreement: Text | None = None
    """Reference of the contract with whoever computes on this party's behalf."""
    transfer: Text | None = None
    """On which ground personal data may go to parties outside the United Kingdom."""
    recipients: tuple[PartyName, ...] | None = None
    """Parties that this party has named as recipients, in its notice and its DPIA."""
    pbpp: Pbpp | None = None
    accreditation: Accreditation | None = None
    shares_are: Text | None = None
    """What this party takes shares, tags and masked values to be: a DPV status of data."""
    not_personal_from: Text | None = None
    """From which point on the data is no longer personal, and why."""


class Linkage(Model):
    on: Name | dict[Name, Name]
    issuer: Text | None = None
    normalise: tuple[Literal["strip-spaces", "upper-case", "nfc", "check-digit"], ...] = ()
    version: Text
    expected_match_rate: Quantity | None = None


PsiOutcome = Literal["intersection", "cardinality", "threshold", "sum"]


InputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Whole = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)]


class ProgramBudget(Model):
    """What one server may send one other while a program runs; ``rounds``: how often everybody waits for everybody.

    All three are counted on made-up data (``pets program try``). ``bytes`` are of payloads.
    """

    frames: Annotated[int, Field(ge=1, le=10_000_000)]
    bytes: Annotated[int, Field(ge=1, le=2**34)]
    rounds: Annotated[int, Field(ge=1, le=1_000_000)]


class ProgramOutput(Model):
    """How many numbers a program of one's own releases under a name; in units of 2^-``fraction``."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    fraction: Annotated[int, Field(ge=0, le=80)] = 0


PROGRAM_FIELDS: Final = (
    *("program", "source", "sha256", "inputs", "parameters"),
    *("rows", "outputs", "bits", "budget"),
)
"""Fields of a computation that only a program for MPyC has."""

OF_UPLOADS: Final = "min_contributors, upload_minutes, partial_uploads and unproved_uploads"


class Computation(Model):
    """What is computed: a query over tables, or which persons, or how many, two have in common, or sums over these; or
    what a program for MPyC makes of columns.

    A private set intersection (``psi``) is asked by the holder of ``asks`` of the holder of the other dataset.
    """

    sql: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None
    psi: PsiOutcome | None = None
    asks: Name | None = None
    """The dataset whose persons are looked for in the other one."""
    where: Annotated[str, Field(min_length=1, max_length=8_192)] | None = None
    """Which rows of a dataset take part in an intersection or a program: conditions as SQL writes them after WHERE,
    each on one dataset."""
    columns: tuple[Text, ...] | None = None
    """Columns of the other dataset ("dataset.column"): of an intersection, what comes with each person in both; of a
    sum, what is added up over these."""
    by: tuple[Text, ...] | None = None
    """Of a sum: grouping columns of ``asks``."""
    max_group: Rows | None = None
    """Of a sum: the greatest number of persons of ``asks`` in one group; ``max_rows`` if it is left out."""
    at_least: Rows | None = None
    """Of a threshold: whether so many persons are in both."""
    min_result: Rows | None = None
    """Nothing is told if fewer persons are in both, but that."""
    min_contributors: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Of a query over one table of many holders: nothing is opened unless the uploads of so many count."""
    upload_minutes: Annotated[int, Field(ge=1, le=44_640)] | None = None
    """Of the same: how long uploads are taken, once computing parties have agreed on a run."""
    partial_uploads: Literal["leave out", "end the run"] | None = None
    """Of the same: what becomes of a holder whose upload only some computing parties have; it is left out if not said.
    """
    unproved_uploads: Literal["leave out", "end the run"] | None = None
    """Of the same, where ranges are proved: what becomes of a holder whose numbers are not proved to be within them; it
    is left out if not said."""
    program: InputName | None = None
    """A program that comes with every installation (``pets program list``)."""
    source: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    """A program of one's own: its text."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the text, of either kind (``pets program show``): any other text is another program."""
    inputs: dict[InputName, Text] | None = None
    """By input, the column that it is of: "dataset.column"."""
    parameters: dict[InputName, Whole | tuple[Whole, ...]] | None = None
    rows: dict[InputName, Annotated[int, Field(ge=1, le=10_000)]] | None = None
    """Of a program of one's own, by input: how many numbers each holder brings; ``max_rows`` if it is left out."""
    outputs: dict[InputName, ProgramOutput] | None = None
    """Of a program of one's own."""
    bits: Annotated[int, Field(ge=8, le=160)] | None = None
    """Of a program of one's own: of the numbers that it computes with; 64 if it is left out."""
    budget: ProgramBudget | None = None

    @property
    def of_uploads(self) -> tuple[object, ...]:
        """What only a query over one table of many holders says."""
        return self.min_contributors, self.upload_minutes, self.partial_uploads, self.unproved_uploads

    @property
    def query(self) -> str:
        """The SQL. Raises: ValueError for an intersection or a program."""
        if self.sql is None:
            raise ValueError("an intersection has no query, and neither has a program")
        return self.sql

    @property
    def is_program(self) -> bool:
        return self.program is not None or self.source is not None

    def _whole_program(self) -> None:
        """Raises: ValueError for what a program needs, or cannot have."""
        if (self.program is None) == (self.source is None):
            raise ValueError("write program, or source, and not both")
        if self.sha256 is None or not self.inputs or self.budget is None:
            raise ValueError("a program needs sha256, inputs and budget")
        own = (self.rows, self.outputs, self.bits)
        if self.program is not None and any(each is not None for each in own):
            raise ValueError("rows, outputs and bits are of a source; a program that comes along declares its own")
        if self.source is not None and not self.outputs:
            raise ValueError("a source needs outputs: by name, how many numbers")

    def _no_program(self) -> None:
        """Raises: ValueError if something of a program is said of anything else."""
        if found := next((name for name in PROGRAM_FIELDS if getattr(self, name) is not None), None):
            raise ValueError(f"{found} belongs to a program: write program or source")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.is_program:
            of_others = [n for n in Computation.model_fields if n not in (*PROGRAM_FIELDS, "where")]
            if found := next((name for name in of_others if getattr(self, name) is not None), None):
                raise ValueError(f"{found} does not belong to a program")
            self._whole_program()
            return self
        self._no_program()
        if self.psi is None:
            if self.sql is None:
                raise ValueError("write sql, psi, program or source")
            own = (self.asks, self.where, self.columns, self.by, self.max_group, self.at_least, self.min_result)
            if any(each is not None for each in own):
                raise ValueError("asks, where, columns, by, max_group, at_least and min_result belong to psi")
            return self
        if self.sql is not None:
            raise ValueError("write sql or psi, not both")
        if any(each is not None for each in self.of_uploads):
            raise ValueError(f"{OF_UPLOADS} belong to sql over one table")
        if self.asks is None:
            raise ValueError("psi needs asks: the dataset whose persons are looked for")
        if self.columns is not None and (self.psi not in ("intersection", "sum") or not self.columns):
            raise ValueError("columns are of an intersection or a sum; leave them out if there are none")
        if self.psi != "sum" and (self.by is not None or self.max_group is not None):
            raise ValueError("by and max_group are of a sum")
        if self.by is not None and not self.by:
            raise ValueError("by names no column; leave it out for one group")
        if (self.at_least is not None) != (self.psi == "threshold"):
            raise ValueError("a threshold, and nothing else, says at_least how many")
        return self


class DifferentialPrivacy(Model):
    """Noise, of one of two laws: discrete Laplace, which is stated in epsilon, or discrete Gaussian, in rho of zCDP."""

    mechanism: Literal["discrete laplace", "discrete gaussian"] = "discrete laplace"
    rho: Quantity | None = Field(default=None, validate_default=True)
    delta: Quantity | None = None
    """At which rho is also told as an epsilon. It changes nothing of the noise."""
    epsilon: Quantity | None = Field(default=None, validate_default=True)
    neighbours: Literal["one person's rows added or removed"]
    weights: dict[Text, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(default_factory=dict)
    """Shares of the loss by noised column, as ``pets check`` names them; a column that is not named has weight 1."""

    @field_validator("rho", "delta", "epsilon", mode="after")
    @classmethod
    def _of_its_law(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Epsilon for the one law, rho for the other."""
        law = info.data.get("mechanism")
        if law is None:
            return value  # which is refused
        wanted = (info.field_name == "epsilon") is (law == "discrete laplace")
        if value is None and wanted and info.field_name != "delta":
            raise PydanticCustomError("missing", "Field required")
        if value is not None and not wanted:
            other = "rho" if law == "discrete gaussian" else "epsilon"
            raise ValueError(f"{law} noise is stated in {other}: leave it out, or write another mechanism")
        if value is not None and info.field_name == "delta" and quantity(value) >= 1:
            raise ValueError("a delta is below one")
        return value

    @property
    def gaussian(self) -> bool:
        return self.mechanism == "discrete gaussian"

    @property
    def stated_in(self) -> Literal["epsilon", "rho"]:
        """What the loss is stated in, which is also the name of the field."""
        return "rho" if self.gaussian else "epsilon"

    @property
    def stated(self) -> str:
        """The loss of one run as it is written."""
        found = self.rho if self.gaussian else self.epsilon
        assert found is not None
        return found

    @property
    def cost(self) -> str:
        """In a sentence: ``epsilon 1``, ``rho 0.1``."""
        return f"{self.stated_in} {self.stated}"

    @property
    def loss(self) -> Fraction:
        """The epsilon or the rho of one run."""
        return quantity(self.stated)


class Dominance(Model):
    """Withheld is a sum of which the ``largest`` so many contributions are ``percent`` of the total or more."""

    largest: Annotated[int, Field(ge=1, le=10)]
    percent: Annotated[int, Field(ge=1, le=99)]


class Knobs(Model):
    """What anybody may ask of a table: see spec/control.py. A knob that is left out asks for nothing."""

    preset: PresetName | None = None
    min_count: Annotated[int, Field(ge=1, le=MAX_ROWS)] | None = None
    redact_at_or_below: Annotated[int, Field(ge=1, lt=MAX_ROWS)] | None = None
    """Another way to write ``min_count``, one less."""
    zeros: Zeros | None = None
    """Whether a cell with nobody is shown as 0. If nobody says so, it is not."""
    round_to: Annotated[int, Field(ge=1, le=MOST_ROUNDED)] | None = None
    rounding: Rounding | None = None
    dominance: tuple[Dominance, ...] | None = None
    p_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    round_values_to: dict[Text, Annotated[int, Field(ge=1, le=2**31)] | Decimal] | None = None
    """By "dataset.column", in its unit: to which multiples a value is rounded where one person's is shown."""

    @property
    def says_a_minimum(self) -> bool:
        return not (self.preset is None and self.min_count is None and self.redact_at_or_below is None)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.min_count is not None and self.redact_at_or_below is not None:
            raise ValueError("min_count and redact_at_or_below say the same thing: write one of the two")
        if self.rounding is not None and self.round_to is None:
            raise ValueError("rounding says how, and round_to to what: write round_to as well")
        if any(Fraction(step) <= 0 for step in (self.round_values_to or {}).values()):
            raise ValueError("round_values_to has a step that is not above zero")
        if self.dominance is not None and not self.dominance:
            raise ValueError("dominance has no rule in it: leave it out")
        if self.preset is None:
            return self
        for said, key in why_weaker(self, PRESETS[self.preset].control):
            raise ValueError(f"{key} {said} the preset {self.preset}, which is stricter: leave it out, or tighten it")
        return self


class HolderControl(Knobs):
    """What one holder asks of every table with its records.

    ``appetite``: ``joint``, the persons of all holders together reach the minimum; ``local``, its own do as well.
    """

    party: PartyName
    appetite: Literal["local", "joint"] | None = None


class DisclosureControl(Knobs):
    """Which cells are withheld and what the others are rounded to; the strictest of preset, fields and holders holds.

    ``known_totals``: groupings ("dataset.column") whose true numbers recipients know. Fields that are left out are None
    and no part of the canonical form.
    """

    known_totals: tuple[tuple[Text, ...], ...] | None = None
    holders: tuple[HolderControl, ...] | None = Field(default=None, alias="holder")

    @model_validator(mode="after")
    def _combines(self) -> Self:
        parties = [holder.party for holder in self.holders or ()]
        if len(set(parties)) != len(parties):
            raise ValueError("holder: one party is listed twice")
        control_of(self)
        return self


class Release(Model):
    to: tuple[PartyName, ...] = Field(min_length=1)
    differential_privacy: DifferentialPrivacy | None = None
    disclosure_control: DisclosureControl | None = None


class Noised(Model):
    epsilon: Quantity
    delta: Quantity


class Leakage(Model):
    """One named item that a learner is allowed to learn beyond its output."""

    learner: PartyName
    item: Literal["match_count", "row_count", "input_validity"]
    of: tuple[Name, ...] = ()
    extent: Literal["declared maximum", "exact"] | None = Field(default=None, alias="as")
    noised: Noised | None = None

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.item == "row_count" and (not self.of or self.extent is None):
            raise ValueError('row_count needs "of" (datasets) and "as" ("declared maximum" or "exact")')
        if self.item == "match_count" and self.noised is None and self.extent != "exact":
            raise ValueError('match_count needs "noised" with epsilon and delta, or as = "exact"')
        if self.item == "input_validity" and (not self.of or self.extent is not None or self.noised is not None):
            raise ValueError('input_validity needs "of" (datasets) and nothing else')
        return self


class Security(Model):
    adversary: Literal["semi-honest", "malicious"]
    corrupt: Annotated[int, Field(ge=1, le=100)]
    protocol: Name | None = None
    leakage: tuple[Leakage, ...] = ()


class Validity(Model):
    not_before: dt.date
    not_after: dt.date
    max_runs: Annotated[int, Field(ge=1, le=1_000_000)]
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.not_before > self.not_after:
            raise ValueError("not_before is after not_after")
        return self


class Delegation(Model):
    """``by`` lets ``to`` approve on its behalf. Narrowing only."""

    by: PartyName
    to: PartyName


class Spec(Model):
    """A whole specification. Its digest is ``canonical.digest(spec)``."""

    pets: Literal[1]
    title: Text
    purpose: Purpose
    parties: tuple[Party, ...] = Field(alias="party", min_length=2, max_length=MAX_PARTIES)
    datasets: tuple[Dataset, ...] = Field(alias="dataset", min_length=1)
    legal: dict[PartyName, Legal]
    linkage: Linkage | None = Field(default=None, validate_default=True)
    """How person ids are made alike; it may be left out where there is one table, and they stay as they are then."""
    computation: Computation
    release: Release
    security: Security
    validity: Validity
    delegation: tuple[Delegation, ...] = ()

    @field_validator("linkage", mode="after")
    @classmethod
    def _linked(cls, value: Linkage | None, info: ValidationInfo) -> Linkage | None:
        """Tables are linked; one table is not."""
        if value is None and len(info.data.get("datasets", ())) != 1:
            raise PydanticCustomError("missing", "Field required")
        return value

    @property
    def linking(self) -> Linkage:
        """How person ids are made alike: as ``linkage`` says, or not at all."""
        return Linkage(on=self.datasets[0].key, version="none") if self.linkage is None else self.linkage

    def party(self, name: str) -> Party:
        """The party of that name; KeyError if there is none."""
        for party in self.parties:
            if party.name == name:
                return party
        raise KeyError(name)

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name; KeyError if there is none."""
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise KeyError(name)

    @property
    def computing(self) -> tuple[PartyId, ...]:
        """Computing parties in the order of the specification: the party order of every protocol."""
        return tuple(PartyId(p.name) for p in self.parties if "computing" in p.roles)

    @property
    def servers(self) -> tuple[PartyId, ...]:
        """Parties whose servers take part in a run, in the order of the specification: they compute or bring rows."""
        holders = {party for dataset in self.datasets for party in dataset.parties}
        return tuple(PartyId(p.name) for p in self.parties if "computing" in p.roles or p.name in holders)

    def holders(self, dataset: str) -> tuple[PartyId, ...]:
        """Who brings a table, or a part of it, in the order of the specification."""
        parties = self.dataset(dataset).parties
        return tuple(PartyId(p.name) for p in self.parties if p.name in parties)

    @property
    def result_party(self) -> PartyId:
        return PartyId(self.release.to[0])

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = {p.name: p for p in self.parties}
        if len(names) != len(self.parties) or len({p.san for p in self.parties}) != len(self.parties):
            raise ValueError("parties need distinct names and distinct SAN URIs")
        tables = [d.name.lower() for d in self.datasets]
        if len(set(tables)) != len(tables):
            raise ValueError("datasets need distinct names")
        if len(tables) > 1 and any(dataset.holders_per_person is not None for dataset in self.datasets):
            raise ValueError("max_holders_per_person is of sums over one table: a join finds a person at every holder")
        for dataset in self.datasets:
            for party in sorted(dataset.parties):
                if party not in names or "input" not in names[party].roles:
                    raise ValueError(f'dataset {dataset.name}: its party needs the role "input"')
        for name in self.release.to:
            if name not in names or "result" not in names[name].roles:
                raise ValueError(f'release.to: {name} needs the role "result"')
        holders: set[str] = {party for d in self.datasets for party in d.parties}
        for name in sorted(holders - set(self.legal)):
            raise ValueError(f"legal.{name}: an input party states its legal ground")
        for name in sorted(set(self.legal) - set(names)):
            raise ValueError(f"legal.{name}: no such party")
        for item in self.security.leakage:
            if item.learner != "everyone" and item.learner not in names:
                raise ValueError(f"security.leakage: no party {item.learner}")
            for of in item.of:
                if of not in {d.name for d in self.datasets}:
                    raise ValueError(f"security.leakage: no dataset {of}")
        self._control_names(holders)
        asked = self.computation
        if len(self.datasets) != 1 and any(each is not None for each in asked.of_uploads):
            raise ValueError(f"computation: {OF_UPLOADS} belong to one table")
        if asked.unproved_uploads is not None and self.security.protocol != "checked_sum":
            raise ValueError("computation: unproved_uploads belongs to checked_sum, by which ranges are proved")
        return self

    def _control_names(self, holders: set[str]) -> None:
        control = self.release.disclosure_control
        if control is None:
            return
        for each in control.holders or ():
            if each.party not in holders:
                raise ValueError(f"release.disclosure_control.holder: {each.party} brings no table")
        known = {
            f"{dataset.name}.{name}"
            for dataset in self.datasets
            for name, column in dataset.columns.items()
            if column.role == "dimension"
        }
        for name in {name for columns in control.known_totals or () for name in columns} - known:
            raise ValueError(f"release.disclosure_control.known_totals: {name} is not a dimension of a table")
