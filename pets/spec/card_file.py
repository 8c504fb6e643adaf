"""Card files as they are written: the schema of ``protocols/<id>/card.toml``, before anything is compared or parsed.

``cards`` loads them: formulas and terms are text here.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pets.spec.operations import OperationWritten
from pets.spec.program import ProgramWritten
from pets.spec.streams import StreamWritten

When = Literal["plain", "product", "always", "computed", "joined", "keyed"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MessageWritten(Strict):
    n: int
    label: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,15}$")]
    round: Annotated[int, Field(ge=1)]
    from_: str = Field(alias="from")
    to: str
    term: str
    carries: list[str]
    element: Annotated[str, Field(pattern=r"^(word|u32|point|field|residue|bytes\[[a-z0-9_ +*/]+\])$")]
    columns: str
    count: str


class LearnsWritten(Strict):
    who: list[str] = Field(min_length=1)
    item: str
    grade: Literal["record", "membership", "count", "aggregate", "noised", "size", "none"]
    beyond_model: bool
    sentence: str


class OutputWritten(Strict):
    role: str
    item: Literal["match", "match_count", "at_least", "columns", "sums", "outputs"]
    when: str = ""


class AdversaryWritten(Strict):
    behaviour: Literal["semi-honest", "malicious"]
    corrupt: Annotated[int, Field(ge=1)]
    among: list[str]
    with_result: list[str]
    forbidden: list[str]
    threshold: str = ""


class ValidityWritten(Strict):
    of: str
    needs: list[str] = Field(min_length=1)
    error: Annotated[str, Field(pattern=r"^2\^-[0-9]{1,3}$")]
    sentence: str


class KeyWritten(Strict):
    name: str
    holders: list[str]
    lifetime: Literal["run"]


class SharedWritten(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    when: When
    value: str
    shares: dict[str, str] = Field(min_length=2)


class HandsOverWritten(Strict):
    shared: str
    roles: dict[str, str]
    keys: dict[str, str]
    instead: str


class TakesOverWritten(Strict):
    shared: str
    holders: list[str] = Field(min_length=2)


class CostWritten(Strict):
    rounds: str
    hello_rounds: str
    bytes: str
    bytes_of: dict[str, str] = {}
    wrong_result: str
    abort: str


class CardFile(Strict):
    """The file as written. ``json_schema()`` of this model is the published schema of cards."""

    card: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    version: str
    title: str
    status: str
    source: list[str] = Field(min_length=1)
    functionality: str
    roles: dict[str, str]
    adversary: AdversaryWritten
    validity: ValidityWritten | None = None
    public: dict[str, str]
    defaults: dict[str, str] = {}
    derived: dict[str, str]
    keys: list[KeyWritten] = []
    message: list[MessageWritten] = []
    shared: list[SharedWritten] = []
    operation: list[OperationWritten] = []
    program: ProgramWritten | None = None
    output: list[OutputWritten] = []
    stream: list[StreamWritten] = []
    learns: list[LearnsWritten] = []
    hands_over: HandsOverWritten | None = None
    takes_over: TakesOverWritten | None = None
    cost: CostWritten


def json_schema() -> dict[str, object]:
    """JSON Schema of card files."""
    return CardFile.model_json_schema(by_alias=True)
