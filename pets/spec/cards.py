"""Cards: the promise of one protocol as data, ``protocols/<id>/card.toml``.

Checker, gate, cost forecast and the tests of the code read the same file. A card is checked when it is loaded: every
formula parses and uses declared names only, every sender and receiver is a role, message numbers count up from 1.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pets.errors import SpecError
from pets.spec import content
from pets.spec import program as programs
from pets.spec.card_file import CardFile, When
from pets.spec.formula import Formula, parse_formula
from pets.spec.operations import Operation, fault, parse_operation
from pets.spec.program import Program, parse_program
from pets.spec.streams import Stream, parse_stream
from pets.spec.streams import fault as stream_fault
from pets.spec.term import OWN, OWN_COLUMNS, Term, arguments, calls, check_heads, index_of, names, parse_term

FORMAT = 1
EVERYONE = "everyone"
ALL = "all "
"""Before a role of many: all who play it, together."""
RESERVED = {
    "tag": "tags",
    "check": "words of check",
    "pad": "pads of entries",
    "idhash": "the hash of identifiers",
    "D": "a number of dummies",
    "shares": "the streams of operations",
    "matching": "the streams of the operations of a program",
}
"""Labels of keys that no term may take for anything else."""
_ELEMENTS = {"word": 8, "u32": 4}
POINT_BYTES = 32
FIELD_BYTES = 16
_WHENS = (
    ["always"],
    ["plain", "product"],
    ["computed", "plain", "product"],
    ["computed", "joined"],
    ["computed", "joined", "keyed"],
)


@dataclass(frozen=True, slots=True)
class Element:
    """Type of one element: ``width`` bytes each; ``kind`` is "word" (u64), "u32" or "bytes" (a row of bytes).

    "point" on a card is a row of ``POINT_BYTES``: an element of the group ristretto255, in its one encoding; "field" a
    row of ``FIELD_BYTES``: an element of GF(2^128); "residue" a word below a prime of the card.
    """

    kind: Literal["word", "u32", "bytes"]
    width: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a card: ``columns`` arrays of ``count`` elements, all sent by ``sender`` to ``receiver``.

    ``term`` says what it is made of, ``meaning`` is the same, parsed. ``index`` is what its columns are counted by, ""
    for a message of one column. ``carries`` names what is inside in protected form (shares, masks, tags): items of
    roles, "match" or "sums".
    """

    number: int
    label: str
    round: int
    sender: str
    receiver: str
    term: str
    meaning: Term
    carries: tuple[str, ...]
    element: str
    columns: Formula
    count: Formula

    @property
    def index(self) -> str:
        return index_of(self.columns.text)

    def element_under(self, names: Mapping[str, int]) -> Element:
        """Element type under the public parameters: "bytes[t]" takes its width from a parameter or formula."""
        if self.element in _ELEMENTS:
            return Element(self.element, _ELEMENTS[self.element])  # type: ignore[arg-type]
        if self.element == "residue":
            return Element("word", 8)
        if self.element == "point":
            return Element("bytes", POINT_BYTES)
        if self.element == "field":
            return Element("bytes", FIELD_BYTES)
        return Element("bytes", parse_formula(self.element[len("bytes[") : -1]).evaluate(names))


@dataclass(frozen=True, slots=True)
class Learns:
    """What a coalition of roles learns beyond its own input and output. ``everyone`` is each party.

    ``all server`` is everyone who plays a role of many, together; ``server`` each of them.
    """

    who: tuple[str, ...]
    item: str
    grade: str
    beyond_model: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Output:
    """What the protocol is for: ``role`` gets ``item``, if the public number ``when`` is not zero ("": always).

    Of an intersection: "match", who is in both; "match_count", how many; "at_least", whether so many are; "columns", of
    the persons in both; "sums", of columns over these, group by group, with how many they are. Of a program "outputs".
    """

    role: str
    item: str
    when: str


@dataclass(frozen=True, slots=True)
class Adversary:
    """Behaviour and number of corrupt parties ``among`` the roles; the result party may join one of ``with_result``.

    ``threshold``: where the number follows from how many parties there are: a formula in names of roles of many, which
    stand for how many play them; ``corrupt`` is the least that it is then. A card of a run has the number itself.
    """

    behaviour: str
    corrupt: int
    among: tuple[str, ...]
    with_result: tuple[str, ...]
    forbidden: tuple[str, ...]
    threshold: Formula | None = None


@dataclass(frozen=True, slots=True)
class Validity:
    """What is proved of what the role ``of`` hands in, whatever it sends, if all of ``needs`` follow the protocol.

    ``error``: a bound on the chance that something else is accepted, after 2^64 tries of who hands it in.
    """

    of: str
    needs: tuple[str, ...]
    error: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or a family of keys, and the roles that hold it."""

    name: str
    holders: tuple[str, ...]
    lifetime: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that is only there in shares, one for each role of ``shares``; they add up to ``value``.

    ``when``: for the summed columns that are a product, for the others ("plain"), or for all ("always"); where the
    three compute on rows ("computed"), or where they do not ("joined"); or where what they give is summed cell by cell
    already, because they tell groups apart ("keyed").
    """

    name: str
    when: When
    value: Term
    shares: Mapping[str, Term]


@dataclass(frozen=True, slots=True)
class HandsOver:
    """Where another card may go on: a shared value, and who plays which role of that card, and which keys it has."""

    shared: str
    roles: Mapping[str, str]
    keys: Mapping[str, str]
    instead: str
    """Messages counted by this public number are not sent then: it is zero. "": the card always ends like this."""


@dataclass(frozen=True, slots=True)
class TakesOver:
    """What a card goes on from: a value that another card hands over, and the roles that have shares of it."""

    shared: str
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """``bytes`` is the total over all links, headers apart; probabilities are bounds.

    ``bytes_of``: by a role that many may play, what each of them adds to that total.
    """

    rounds: Formula
    hello_rounds: Formula
    bytes: Formula
    bytes_of: Mapping[str, Formula]
    wrong_result: str
    abort: str


@dataclass(frozen=True, slots=True)
class Card:
    """A loaded card; ``digest`` is the SHA-256 of its file, compared in the hello round."""

    id: str
    version: str
    title: str
    status: str
    source: tuple[str, ...]
    functionality: str
    roles: Mapping[str, str]
    adversary: Adversary
    public: Mapping[str, str]
    defaults: Mapping[str, Formula]
    """What a public number is where a plan does not give it."""
    derived: Mapping[str, Formula]
    keys: tuple[Key, ...]
    messages: tuple[Message, ...]
    shared: tuple[Shared, ...]
    operations: tuple[Operation, ...]
    program: Program | None
    learns: tuple[Learns, ...]
    cost: Cost
    digest: str
    hands_over: HandsOver | None = None
    takes_over: TakesOver | None = None
    outputs: tuple[Output, ...] = ()
    validity: Validity | None = None
    """None: nothing is checked of what is handed in, but its form."""
    streams: tuple[Stream, ...] = ()

    def names(self, public: Mapping[str, int]) -> dict[str, int]:
        """All parameters: the given public ones (those the card declares, but for defaults) and the derived ones."""
        wrong = (set(public) ^ set(self.public)) - (set(self.defaults) - set(public))
        if wrong:
            raise SpecError("card.parameters", card=self.id, names=", ".join(sorted(wrong)))
        names = {name: formula.evaluate({}) for name, formula in self.defaults.items()} | dict(public)
        own = self.own_names
        for name, formula in self.derived.items():
            if name not in own:  # those are on the card of a run, with a number for each of many
                names[name] = formula.evaluate(names)
        return names

    @property
    def own_names(self) -> frozenset[str]:
        """The numbers that each of many who play a role has for itself: given ones, and those that follow from them."""
        own = {OWN, OWN_COLUMNS}
        for name, formula in self.derived.items():
            if formula.names & own:
                own.add(name)
        return frozenset(own)


def parse_card(data: bytes, *, file: str) -> Card:
    """Parse and check one card file; SpecError card.* names the file and the place."""
    try:
        written = CardFile.model_validate(tomllib.loads(data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError("card.unreadable", file=file, problem=type(error).__name__) from error
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise SpecError("card.field", file=file, path=path, problem=first["msg"]) from error
    card = Card(
        id=written.id,
        version=written.version,
        title=written.title,
        status=written.status,
        source=tuple(written.source),
        functionality=written.functionality,
        roles=dict(written.roles),
        adversary=Adversary(
            written.adversary.behaviour,
            written.adversary.corrupt,
            tuple(written.adversary.among),
            tuple(written.adversary.with_result),
            tuple(written.adversary.forbidden),
            parse_formula(written.adversary.threshold) if written.adversary.threshold else None,
        ),
        public=dict(written.public),
        defaults={name: parse_formula(text) for name, text in written.defaults.items()},
        derived={name: parse_formula(text) for name, text in written.derived.items()},
        keys=tuple(Key(k.name, tuple(k.holders), k.lifetime) for k in written.keys),
        messages=tuple(
            Message(
                m.n,
                m.label,
                m.round,
                m.from_,
                m.to,
                m.term,
                _term(m.term, file, f"message {m.label}"),
                tuple(m.carries),
                m.element,
                parse_formula(m.columns),
                parse_formula(m.count),
            )
            for m in written.message
        ),
        shared=tuple(
            Shared(
                each.name,
                each.when,
                _term(each.value, file, f"shared {each.name}"),
                {role: _term(text, file, f"shared {each.name}") for role, text in each.shares.items()},
            )
            for each in written.shared
        ),
        operations=tuple(parse_operation(each) for each in written.operation),
        program=None if written.program is None else parse_program(written.program),
        learns=tuple(
            Learns(tuple(item.who), item.item, item.grade, item.beyond_model, item.sentence) for item in written.learns
        ),
        cost=Cost(
            parse_formula(written.cost.rounds),
            parse_formula(written.cost.hello_rounds),
            parse_formula(written.cost.bytes),
            {role: parse_formula(text) for role, text in written.cost.bytes_of.items()},
            written.cost.wrong_result,
            written.cost.abort,
        ),
        digest=hashlib.sha256(data).hexdigest(),
        hands_over=None
        if (over := written.hands_over) is None
        else HandsOver(over.shared, dict(over.roles), dict(over.keys), over.instead),
        takes_over=None if (taken := written.takes_over) is None else TakesOver(taken.shared, tuple(taken.holders)),
        outputs=tuple(Output(each.role, each.item, each.when) for each in written.output),
        validity=None
        if (valid := written.validity) is None
        else Validity(valid.of, tuple(valid.needs), valid.error, valid.sentence),
        streams=tuple(map(parse_stream, written.stream)),
    )
    _check(card, file)
    return card


def _check(card: Card, file: str) -> None:
    """What the file's shape cannot say: names that must exist, numbers that must count up."""
    several = {role for role, what in card.roles.items() if "many" in what.split(", ")}
    own = {OWN, OWN_COLUMNS} if several else set()
    known = set(card.public)
    if unknown := sorted(set(card.defaults) - known):
        raise SpecError("card.field", file=file, path="defaults", problem=f"{unknown[0]} is no public number")
    for name, formula in card.defaults.items():
        _known_names(card, file, f"defaults.{name}", formula, set())
    for name, formula in card.derived.items():
        _known_names(card, file, f"derived.{name}", formula, known | own)
        (own if formula.names & own else known).add(name)
    for place, message in enumerate(card.messages, 1):
        path = f"message {message.label}"
        if message.number != place:
            problem = f"has number {message.number}, expected {place}"
            raise SpecError("card.field", file=file, path=path, problem=problem)
        for role in (message.sender, message.receiver):
            if role not in card.roles:
                raise SpecError("card.field", file=file, path=path, problem=f"{role} is not a role of the card")
        if message.sender == message.receiver and message.sender not in several:
            raise SpecError("card.field", file=file, path=path, problem="goes to its own sender")
        width = parse_formula(message.element[6:-1]) if message.element.startswith("bytes[") else None
        for formula in (message.columns, message.count, *([width] if width else [])):
            _known_names(card, file, path, formula, known | own)
    _check_terms(card, file)
    if len({m.label for m in card.messages}) != len(card.messages):
        raise SpecError("card.field", file=file, path="message", problem="two messages have one label")
    for item in card.learns:
        for role in item.who:
            if role != EVERYONE and role not in card.roles and role.removeprefix(ALL) not in several:
                raise SpecError("card.field", file=file, path=f"learns {item.item}", problem=f"{role} is not a role")
    for output in card.outputs:
        if output.role not in card.roles or (output.when and output.when not in card.public):
            problem = f"{output.role}, {output.when or 'always'}: is no role, or no public number, of the card"
            raise SpecError("card.field", file=file, path="output", problem=problem)
    for role in (*card.adversary.among, *card.adversary.with_result):
        if role not in card.roles:
            raise SpecError("card.field", file=file, path="adversary", problem=f"{role} is not a role of the card")
    if card.adversary.threshold is not None and (wrong := sorted(card.adversary.threshold.names - several)):
        raise SpecError("card.field", file=file, path="adversary", problem=f"{wrong[0]} is no role of many")
    if card.validity is not None and (wrong := sorted({card.validity.of, *card.validity.needs} - set(card.roles))):
        raise SpecError("card.field", file=file, path="validity", problem=f"{wrong[0]} is not a role of the card")
    if (no_stream := stream_fault(card.streams, card.roles, {m.label for m in card.messages}, known)) is not None:
        raise SpecError("card.field", file=file, path="stream", problem=no_stream)
    if (no_operation := fault(card.operations, tuple(card.roles))) is not None:
        raise SpecError("card.field", file=file, path="operation", problem=no_operation)
    for operation in card.operations:
        for formula in operation.formulas:
            _known_names(card, file, f"operation {operation.name}", formula, known)
    _check_program(card, file, known)
    for formula in (card.cost.rounds, card.cost.hello_rounds, card.cost.bytes):
        _known_names(card, file, "cost", formula, known)
    for role, formula in card.cost.bytes_of.items():
        if role not in several:
            raise SpecError("card.field", file=file, path="cost.bytes_of", problem=f"{role} is no role of many")
        _known_names(card, file, "cost.bytes_of", formula, known | own)
    _check_handing_over(card, file)


def _check_handing_over(card: Card, file: str) -> None:
    """What is handed over, or taken, is there; who takes it is a role."""
    keys = {key.name for key in card.keys}
    if (over := card.hands_over) is not None:
        said = (
            ({over.shared}, {each.name for each in card.shared}, "shared value"),
            (set(over.roles.values()), set(card.roles), "role"),
            (set(over.keys.values()), keys, "key"),
            ({over.instead} - {""}, set(card.public), "public number"),
        )
        for got, known, kind in said:
            if wrong := sorted(got - known):
                problem = f"{wrong[0]} is no {kind} of the card"
                raise SpecError("card.field", file=file, path="hands_over", problem=problem)
    if card.takes_over is not None and (wrong := sorted(set(card.takes_over.holders) - set(card.roles))):
        raise SpecError("card.field", file=file, path="takes_over", problem=f"{wrong[0]} is not a role")


def _check_program(card: Card, file: str, known: set[str]) -> None:
    """A program has the card's roles for parties and makes what is shared; a part is of that and of its keys alone."""
    terms = [m.meaning for m in card.messages] + [
        t for each in card.shared for t in (each.value, *each.shares.values())
    ]
    parts = [call for term in terms for call in calls(term) if call.head == "part"]
    if card.program is None:
        if parts:
            raise SpecError(
                "card.field", file=file, path="program", problem="a term speaks of a part of what is not made"
            )
        return
    holders = {key.name: key.holders for key in card.keys}
    if wrong := programs.fault(card.program, tuple(card.roles), holders, [each.name for each in card.shared]):
        raise SpecError("card.field", file=file, path="program", problem=wrong)
    for call in parts:
        if call.args[0] not in card.program.keys or call.args[1] != card.program.makes:
            problem = f"a term speaks of a part that it does not make: {call.args[1]} of {call.args[0]}"
            raise SpecError("card.field", file=file, path="program", problem=problem)
    if wrong := next((label for label in card.program.takes if all(m.label != label for m in card.messages)), ""):
        raise SpecError("card.field", file=file, path="program.takes", problem=f"{wrong} is no message of the card")
    for formula in card.program.formulas:
        _known_names(card, file, "program", formula, known)


def _term(text: str, file: str, path: str) -> Term:
    try:
        term = parse_term(text)
        check_heads(term, text)
    except SpecError as error:
        problem = str(error.fields["problem"])
        raise SpecError("card.field", file=file, path=path, problem=f"its term {problem}") from error
    return term


def _check_terms(card: Card, file: str) -> None:
    """Terms speak of the card's own roles, keys and shared values, and of messages that were sent before."""
    keys = {key.name for key in card.keys}
    shared = {each.name for each in card.shared} | ({card.takes_over.shared} if card.takes_over else set())
    for key in card.keys:
        if wrong := sorted(set(key.holders) - set(card.roles)):
            raise SpecError("card.field", file=file, path=f"keys {key.name}", problem=f"{wrong[0]} is not a role")
    places = [(f"message {m.label}", m.meaning, m.number) for m in card.messages]
    numbers = {m.label: m.number for m in card.messages}
    for each in card.shared:
        if wrong := sorted(set(each.shares) - set(card.roles)):
            raise SpecError("card.field", file=file, path=f"shared {each.name}", problem=f"{wrong[0]} is not a role")
        places += [(f"shared {each.name}", t, len(numbers) + 1) for t in (each.value, *each.shares.values())]
    for path, term, number in places:
        for kind, known in (("role", set(card.roles)), ("key", keys), ("shared", shared)):
            if wrong := sorted(set(arguments(term, kind)) - known):
                problem = f"its term speaks of {wrong[0]}, which is no {kind} of the card"
                raise SpecError("card.field", file=file, path=path, problem=problem)
        for name in names(term):
            if name not in ("match", *shared) and numbers.get(name, number) >= number:
                problem = f"its term uses {name}, which is no message before it"
                raise SpecError("card.field", file=file, path=path, problem=problem)
    _check_labels([term for _, term, _ in places], file)
    _check_shared(card, file)
    _check_content(card, file)


def _check_labels(terms: list[Term], file: str) -> None:
    """A label of a key serves one purpose and is counted by one index: two would give the same words twice."""
    serves: dict[tuple[str, str], set[str]] = {}
    for call in (call for term in terms for call in calls(term)):
        key, *rest = map(str, call.args)
        match call.head:
            case "perm":
                serves.setdefault((key, rest[0]), set()).add("an order")
            case "mask":
                serves.setdefault((key, rest[0]), set()).add(f"masks by {rest[1]}")
            case "zero":
                serves.setdefault((key, "zero"), set()).add(f"masks by {rest[0]}")
            case "dummies":
                serves.setdefault((key, "D"), set()).add("a number of dummies")
            case "tags" | "table":
                serves.setdefault((key, ""), set()).add("tags")
            case "pads":
                serves.setdefault((key, ""), set()).add("pads of entries")
            case "flags":
                serves.setdefault((key, "flags"), set()).add("a check of bits")
            case "checks":
                serves.setdefault((key, ""), set()).add("words of check")
            case "times":
                serves.setdefault((key, ""), set()).add("a scalar")
            case head if head in content.OWN_RANDOMNESS:
                serves.setdefault((key, ""), set()).add("a party's own randomness")
            case "noise" | "local" if rest != ["summed"]:
                problem = f"{call.head} is drawn for each summed column, not by {', '.join(rest)}"
                raise SpecError("card.field", file=file, path=f"{call.head} of {key}", problem=problem)
    for (key, label), purposes in serves.items():
        if (key, "") in serves and label:
            purposes |= serves[key, ""]
        if label in RESERVED:
            purposes.add(RESERVED[label])
        if len(purposes) > 1:
            problem = f"its label {label} serves for {' and for '.join(sorted(purposes))}"
            raise SpecError("card.field", file=file, path=f"keys {key}", problem=problem)


def _check_shared(card: Card, file: str) -> None:
    """A name stands for one thing in each column, and for nothing that is made of itself."""
    whens: dict[str, list[str]] = {}
    uses = {m.label: {*names(m.meaning), *arguments(m.meaning, "shared")} for m in card.messages}
    for each in card.shared:
        if each.name == "match" or any(each.name == m.label for m in card.messages):
            problem = "its name already stands for something else"
            raise SpecError("card.field", file=file, path=f"shared {each.name}", problem=problem)
        whens.setdefault(each.name, []).append(each.when)
        own = uses.setdefault(each.name, set())
        own.update(names(each.value), arguments(each.value, "shared"))
        for term in each.shares.values():  # a share may be made of parts of the value: a program made them of it
            own.update(names(term), (str(call.args[1]) for call in calls(term) if call.head == "share"))
    for name, found in whens.items():
        if sorted(found) not in _WHENS:
            problem = f"is there for {', '.join(found)}: for every kind of column a value is there once"
            raise SpecError("card.field", file=file, path=f"shared {name}", problem=problem)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        problem = f"its term is made of itself: {', '.join(error.args[1])}"
        raise SpecError("card.field", file=file, path=f"term of {error.args[1][0]}", problem=problem) from error


def _check_content(card: Card, file: str) -> None:
    """A message is of the kind that its elements say, and carries what its term is made of: no more, no less."""
    kinds: dict[str, str] = {}
    terms: dict[str, tuple[Term, ...]] = {message.label: (message.meaning,) for message in card.messages}
    for each in card.shared:
        terms[each.name] = (*terms.get(each.name, ()), each.value)
    for message in card.messages:
        path = f"message {message.label}"
        kinds[message.label] = content.wanted(message.element)
        found = content.kind(message.meaning, kinds)
        if not content.fits(found, message.element, proved=card.validity is not None):
            problem = f"its elements are {message.element}, and its term is no vector of {kinds[message.label]}"
            raise SpecError("card.field", file=file, path=path, problem=problem)
        made_of = content.carried(message.meaning, terms)
        if set(message.carries) != made_of:
            said = ", ".join(message.carries) or "nothing"
            problem = f"carries {said}, and its term is made of {', '.join(sorted(made_of)) or 'nothing'}"
            raise SpecError("card.field", file=file, path=path, problem=problem)


def _known_names(card: Card, file: str, path: str, formula: Formula, known: set[str]) -> None:
    if unknown := sorted(formula.names - known):
        raise SpecError("card.field", file=file, path=path, problem=f"{unknown[0]} is not a parameter of {card.id}")


def cards_folder() -> Path:
    """Where the cards are: inside an installed package, or ``protocols/`` of the source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_data" / "protocols"
    return installed if installed.is_dir() else package.parent / "protocols"


@cache
def load_cards() -> Mapping[str, Card]:
    """All cards of this installation by id."""
    folder = cards_folder()
    cards = {}
    for path in sorted(folder.glob("*/card.toml")):
        card = parse_card(path.read_bytes(), file=f"protocols/{path.parent.name}/card.toml")
        if card.id != path.parent.name:
            raise SpecError("card.field", file=path.parent.name, path="id", problem="differs from its folder's name")
        cards[card.id] = card
    if not cards:
        raise SpecError("card.none", folder="protocols")
    for card in cards.values():
        _check_operations(card, cards)
    return cards


def _check_operations(card: Card, cards: Mapping[str, Card]) -> None:
    """The operations of a card's program are on the card that it names, and need no numbers but rows and bits."""
    if card.program is None:
        return
    file = f"protocols/{card.id}/card.toml"
    other = cards.get(card.program.card)
    if other is None or set(other.public) - set(other.defaults) - {"n", "bits"}:
        raise SpecError("card.field", file=file, path="program.card", problem="is no card of operations")
    if wrong := sorted({run.operation for run in card.program.runs} - {each.name for each in other.operations}):
        problem = f"{wrong[0]} is no operation of {other.id}"
        raise SpecError("card.field", file=file, path="program.step", problem=problem)


def cards_digest(ids: tuple[str, ...]) -> str:
    """One digest of the cards of those ids, in order: what the hello round compares."""
    cards = load_cards()
    text = "\n".join(f"{name} {cards[name].digest}" for name in ids)
    return hashlib.sha256(text.encode()).hexdigest()
