"""Cards: what is loaded is what is written, and a card that contradicts itself is never loaded."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pets.errors import SpecError
from pets.spec import repeated
from pets.spec.card_file import CardFile, json_schema
from pets.spec.cards import cards_digest, cards_folder, load_cards, parse_card

JOIN = (cards_folder() / "helper_join_a" / "card.toml").read_text()


def parsed(old: str = "", new: str = "", text: str = JOIN) -> None:
    assert old in text
    parse_card(text.replace(old, new, 1).encode(), file="card.toml")


def test_every_card_of_the_installation_is_loaded_under_its_folder_s_name() -> None:
    cards = load_cards()
    assert set(cards) == {file.parent.name for file in cards_folder().glob("*/card.toml")}
    assert {"helper_join_a", "release"} <= set(cards)
    assert len({card.digest for card in cards.values()}) == len(cards)


def test_messages_are_numbered_from_one_and_go_between_roles() -> None:
    for card in load_cards().values():
        assert [message.number for message in card.messages] == list(range(1, len(card.messages) + 1))
        for message in card.messages:
            assert message.sender in card.roles and message.receiver in card.roles
            assert message.sender != message.receiver or "many" in card.roles[message.sender]


def test_parameters_are_exactly_those_declared() -> None:
    card = load_cards()["helper_join_a"]
    public = dict.fromkeys(card.public, 4)
    names = card.names(public)
    assert set(names) == set(card.public) | set(card.derived)
    for wrong in (public | {"other": 1}, dict.fromkeys(list(card.public)[1:], 4)):
        with pytest.raises(SpecError) as caught:
            card.names(wrong)
        assert caught.value.code == "card.parameters"


def test_the_width_of_bytes_is_a_formula() -> None:
    card = load_cards()["helper_join_a"]
    names = card.names(dict.fromkeys(card.public, 4))
    kinds = {message.label: message.element_under(names) for message in card.messages}
    assert kinds["M1"].kind == "bytes" and kinds["M1"].width == names["t"]
    assert (kinds["M4"].kind, kinds["M4"].width) == ("u32", 4)
    assert (kinds["M3"].kind, kinds["M3"].width) == ("word", 8)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("card = 1", "card = 2"),
        ("card = 1", 'card = 1\nother = "x"'),
        ('id = "helper_join_a"', 'id = "Helper"'),
        ("n = 1,", "n = 2,"),
        ('from = "a"', 'from = "nobody"'),
        ('to = "helper"', 'to = "nobody"'),
        ('label = "M2"', 'label = "M1"'),
        ('element = "word"', 'element = "float"'),
        ('element = "bytes[t]"', 'element = "bytes[unknown]"'),
        ('element = "u32"', 'element = "u64"'),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(old: str, new: str) -> None:
    if old not in JOIN:  # the same fact, in the other way that TOML lets one write it
        old, new = (re.sub(r"(\w) = ", r"\1 = ", text).rstrip(",") for text in (old, new))
    with pytest.raises(SpecError) as caught:
        parsed(old, new)
    assert caught.value.code in ("card.field", "card.formula")
    assert "card.toml" in caught.value.text or caught.value.code == "card.formula"


def test_formulas_may_use_only_names_that_are_there() -> None:
    columns = re.search(r'columns = "([a-z_0-9 *+]+)"', JOIN)
    assert columns is not None
    with pytest.raises(SpecError) as caught:
        parsed(columns.group(), 'columns = "n_a * nowhere"')
    assert "nowhere" in caught.value.text


@pytest.mark.parametrize("data", [b"\xff", b"card = ", b""])
def test_what_is_no_card_is_refused_with_its_file(data: bytes) -> None:
    with pytest.raises(SpecError, match=r"card\.toml"):
        parse_card(data, file="card.toml")


def test_one_byte_of_a_card_changes_the_digest_that_parties_compare() -> None:
    one = parse_card(JOIN.encode(), file="card.toml")
    other = parse_card((JOIN + "\n").encode(), file="card.toml")
    assert one.digest != other.digest
    assert cards_digest(("helper_join_a", "release")) != cards_digest(("release", "helper_join_a"))


def test_the_published_schema_is_that_of_the_file() -> None:
    schema = json_schema()
    assert set(schema["required"]) <= set(CardFile.model_fields)  # type: ignore[call-overload]
    assert schema["additionalProperties"] is False


def test_cards_are_found_in_the_tree() -> None:
    assert cards_folder() == Path(__file__).parents[2] / "protocols"


TERM = 'term = "noise(b, summed) - mask(s_ab, noise, summed)"'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (f'{TERM}\ncarries = []\nelement = "word"', f'{TERM}\ncarries = []\nelement = "bytes[8]"', "no vector of tags"),
        (f'{TERM}\ncarries = []\nelement = "word"', f'{TERM}\ncarries = []\nelement = "u32"', "no vector of places"),
        (TERM, 'term = "values(b, summed)"', "its term is made of b.values"),
        (TERM, 'term = "local(a, summed)"', "its term is made of a.values"),
        (TERM, 'term = "M3 - M3"', "its term is made of b.groups, b.values"),
        (TERM, 'term = "share(helper, sums)"', "its term is made of sums"),
        (TERM, 'term = "gather(mask(s_ab, other, summed), M8)"', "its term is made of a.groups"),
        (f"{TERM}\ncarries = []", f'{TERM}\ncarries = ["sums"]', "carries sums, and its term is made of nothing"),
        (TERM, 'term = "keys(a)"', "no vector of words"),
        (TERM, 'term = "perm(s_ab, q)"', "no vector of words"),
        (TERM, 'term = "gather(mask(s_ab, other, summed), M3)"', "no vector of words"),
        ("permute(perm(s_bc, rho), match)", "permute(perm(s_bc, rho), permute(perm(s_ac, x), match))", "of places"),
        (
            "sort(tags(tag, keys(b), dummies(s_ab), fillers(b)))",
            "permute(perm(s_ab, x), sort(tags(tag, keys(b), dummies(s_ab), fillers(b))))",
            "no vector of tags",
        ),
        ("permute(perm(s_ab, rho2), ends(groups(a)))", "M1", "no vector of places"),
    ],
)  # fmt: skip
def test_a_message_is_what_its_term_says(old: str, new: str, problem: str) -> None:
    """What a checker does not look at, because it is of another kind or said to be of nothing, could be anything."""
    assert JOIN.count(old) == 1
    with pytest.raises(SpecError) as caught:
        parsed(old, new)
    assert caught.value.code == "card.field" and problem in caught.value.text


def test_the_card_of_so_many_is_made_once_for_each_card_that_is_read() -> None:
    """With dozens of holders it takes long, and a run asks often; another card of the same name is another card."""
    card = load_cards()["shared_join"]
    other = replace(card, title="another card")
    made, again, of_other = (repeated.with_so_many(each, {"left": 2, "right": 3}) for each in (card, card, other))
    assert made is again and made.title == card.title
    assert of_other.title == "another card"
    assert len(repeated.with_so_many(card, {"left": 3, "right": 3}).messages) == len(made.messages) + 3


SUM = (cards_folder() / "secure_sum" / "card.toml").read_text()


def test_two_roles_of_many_have_a_message_and_a_key_for_each_two_parties() -> None:
    card = repeated.with_so_many(load_cards()["secure_sum"], {"input": 2, "server": 3})
    ends = {message.label: (message.sender, message.receiver) for message in card.messages}
    assert ends["Us2x3"] == ("input2", "server3")
    assert ends["Ls3x1"] == ("server3", "server1")
    assert "Ls2x2" not in ends
    assert {key.name: key.holders for key in card.keys}["k2x3"] == ("input2", "server3")
    terms = {message.label: message.term for message in card.messages}
    masks = " + ".join(f"mask(k2x{number}, u, summed)" for number in (1, 2, 3))
    assert terms["Uw2"] == f"values(input2, summed) - ({masks})"
    (sums,) = card.shared
    assert set(sums.shares) == {"server1", "server2", "server3", "last"}
    assert card.adversary.corrupt == 3 and load_cards()["secure_sum"].adversary.corrupt == 1


def test_everybody_who_plays_a_role_of_many_can_be_one_coalition() -> None:
    card = repeated.with_so_many(load_cards()["secure_sum"], {"input": 2, "server": 2})
    beyond = [(entry.who, entry.item) for entry in card.learns if entry.beyond_model]
    assert beyond == [(("server1", "server2", "last"), f"input{number}.values") for number in (1, 2)]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('threshold = "server"', 'threshold = "last"', "no role of many"),
        ('threshold = "server"', 'threshold = "m - 1"', "no role of many"),
        ('who = ["all server", "last"]', 'who = ["all last", "server"]', "not a role"),
        ('to = "last"\nterm = "heard(input)"', 'to = "nobody"\nterm = "heard(input)"', "not a role"),
        ('from = "last"\nto = "server"', 'from = "last"\nto = "last"', "its own sender"),
        ("over(server, mask(k, u, summed))", "over(nobody, mask(k, u, summed))", "no role"),
        ("over(server, mask(k, u, summed))", "over(server)", "takes"),
        ('term = "marked(input)"', 'term = "values(input, summed)"', "no vector of tags"),
    ],
)
def test_a_card_of_many_that_contradicts_itself_is_not_loaded(old: str, new: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        parsed(old, new, SUM)
    assert caught.value.code == "card.field" and problem in caught.value.text
