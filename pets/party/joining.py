"""A party's part in a query over joined tables, or in an intersection: its noise, its own rows, its role.

Which protocol it is stands in the plan. Rows are read beside peers' hellos; the helper has none.
"""

from collections.abc import Callable, Mapping

from pets.errors import InternalError
from pets.ids import PartyId, SpecDigest
from pets.kernels import prf
from pets.party import hello, pairing, prepare
from pets.party.attendance import Attendance
from pets.party.cast import pairs_of, role_of, roles_of
from pets.party.drive import Tick
from pets.party.play import Begun, Entropy
from pets.party.sources import Table
from pets.plan.cost import ring_of
from pets.plan.review import Reviewed
from pets.protocols import control, helper_join, helper_join_b, shared_join, star_join, upload
from pets.protocols.base import Role
from pets.protocols.rep3.sharing import Context
from pets.secret import Secret
from pets.spec.ir import Protect, Read

Brought = helper_join.RowsOfA | helper_join.PeopleOfB | shared_join.LeftRows | shared_join.RightRows | pairing.Persons
"""What a party that holds a table puts in."""


def to_agree(
    reviewed: Reviewed,
    shape: helper_join.Sizes | shared_join.Shape | None,
    cover: SpecDigest | None = None,
) -> hello.Agreed:
    """What this party is about to run, for the hello. ``cover``: the older specification whose approvals let it run."""
    dummies = shape.dummies.digest if isinstance(shape, helper_join.Shape) else hello.NO_DUMMIES
    if reviewed.plan.match is not None:
        dummies = pairing.dummies_of(reviewed.plan.match) or hello.NO_DUMMIES
    return hello.Agreed(reviewed.digest, reviewed.plan_digest, reviewed.cards, dummies, cover=cover)


def together(
    reviewed: Reviewed, party: PartyId, keys: Mapping[str, prf.KeyFamily]
) -> tuple[Context, prf.KeyFamily, prf.KeyFamily]:
    """A party's part in what the three compute in a run, and its families with the one before and after it."""
    ring, with_whom = ring_of(reviewed.plan), {peer: name for name, peer in pairs_of(reviewed, party)}
    roles = {name: role for role, name in roles_of(reviewed).items() if name in ring and role != "result"}
    me = ring.index(party)
    before, after = (keys[with_whom[ring[(me + step) % 3]]] for step in (2, 1))
    return control.context(me, before, after, (roles[ring[0]], roles[ring[1]], roles[ring[2]])), before, after


class JoinPlay:
    """A ``pets.party.play.Play``. ``bring`` reads this party's rows for a step of the plan."""

    upload = b""

    def __init__(self, reviewed: Reviewed, party: PartyId, bring: Callable[[Read], Table], entropy: Entropy) -> None:
        self._reviewed, self._party, self._bring = reviewed, party, bring
        self._match = reviewed.plan.match
        self._shape = None if self._match is not None else prepare.shape_of(reviewed.plan)
        self._roles = roles_of(reviewed)
        self._role = role_of(reviewed, party)
        self._seed = Secret(entropy(16))
        self._noise_seed = Secret(entropy(16))
        self._own_entropy = Secret(entropy(0 if self._match is None else pairing.entropy_bytes(self._match)))
        self._noise: prepare.U64 | None = None
        self._brought: Brought | None = None
        self.found: prepare.U64 | None = None
        self.contributors: Attendance | None = None

    def agreed(self, cover: SpecDigest | None) -> hello.Agreed:
        return to_agree(self._reviewed, self._shape, cover)

    def ahead(self, tick: Tick) -> None:
        # How long the sampler takes tells of what it drew: so not between the start of a run and its hello, where peers
        # could time it, but beside their hellos and the reading of rows.
        if self._shape is not None and self._party in ring_of(self._reviewed.plan):
            protection = self._reviewed.plan.protection
            self._noise = prepare.noise_of(protection, self._shape, prf.Stream(self._noise_seed))
        elif self._match is not None:
            self._noise = pairing.noise_of(self._match, prf.Stream(self._noise_seed))
        self._brought = self._own_rows()
        if self._brought is not None:
            tick("records", 0, 0.0)

    def begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        """Nothing comes first: the role computes while counting and charging wait for the disk."""

    @property
    def spared(self) -> frozenset[PartyId]:
        return frozenset()

    def patience(self, deadline_s: float, turn: int) -> float:
        return deadline_s

    def close(self) -> None:
        self._brought = self._noise = None

    def _own_rows(self) -> Brought | None:
        plan = self._reviewed.plan
        read = next((step for step in plan.steps if isinstance(step, Read) and self._party in step.parties), None)
        if read is None:
            return None
        table = self._bring(read)
        if self._match is not None:
            return pairing.persons(read, self._match, table)
        own = prf.Stream(self._seed)
        if isinstance(self._shape, shared_join.Shape):
            to_left = self._role.startswith("left")
            return prepare.left_rows(plan, table, own) if to_left else prepare.right_rows(plan, table, own)
        if self._shape is None:
            raise InternalError("internal.bug", where="a plan of no kind")
        if self._role == "a":
            return prepare.rows_of_a(read, plan.join, self._shape, table, own)
        return prepare.people_of_b(read, plan.join, self._shape, table, own)

    def role(self, begun: Begun) -> Role[None]:
        plan, keys, brought, noise = self._reviewed.plan, begun.keys, self._brought, self._noise
        if self._match is not None:
            own = brought if isinstance(brought, pairing.Persons) else None
            part = pairing.Part(self._role, own, begun.tied, self._own_entropy, keys, noise)
            self.found = yield from pairing.play(plan, self._match, part)
            return
        if isinstance(self._shape, shared_join.Shape):
            hashed_by = begun.tied.run_id[: shared_join.HASH_BYTES]
            yield from self._play_shared(self._shape, keys, brought, noise, hashed_by)
            return
        if isinstance(brought, shared_join.LeftRows | shared_join.RightRows | pairing.Persons):
            raise InternalError("internal.bug", where="rows of another protocol")
        rows, safe = prepare.rows_shape(plan.join), plan.protection
        on_rows: helper_join.OnRows | None = None
        if rows is None and not isinstance(safe, Protect):
            yield from self._play_join(keys, brought, noise, on_rows)
            return
        if self._party not in ring_of(plan):  # a further table of a join: it is sent, and its holder computes nothing
            yield from self._play_join(keys, brought, noise, on_rows)
            return
        ctx, before, after = together(self._reviewed, self._party, keys)
        if rows is not None:
            shapes = (prepare.order_shape(plan.join), prepare.against_shape(plan.join), prepare.models_of(plan.join))
            on_rows = helper_join.OnRows(rows, ctx, *shapes)
        share = yield from self._play_join(keys, brought, noise, on_rows)
        if isinstance(safe, Protect):
            statistics, tops = ((), ()) if on_rows is None else (on_rows.found, on_rows.tops)
            yield from control.protect(prepare.control_shape(safe), ctx, share, before, after, statistics, tops)

    def _play_shared(
        self,
        shape: shared_join.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: Brought | None,
        noise: prepare.U64 | None,
        hashed_by: bytes,
    ) -> Role[None]:
        """This party's part where the tables have any number of holders."""
        number = int("".join(filter(str.isdigit, self._role)) or 1) - 1
        if isinstance(brought, shared_join.LeftRows):
            yield from shared_join.left(shape, number, brought, keys[f"s_l{number + 1}"], hashed_by)
            return
        if isinstance(brought, shared_join.RightRows):
            yield from shared_join.right(shape, number, brought, keys[f"s_r{number + 1}"], hashed_by)
            return
        share: prepare.U64 | None = None
        if self._role == upload.FIRST:
            lefts = [keys[f"s_l{place + 1}"] for place in range(len(shape.left))]
            rights = [keys[f"s_r{place + 1}"] for place in range(len(shape.right))]
            share = yield from shared_join.first(shape, (lefts, rights), keys["s_12"], keys["s_13"], noise)
        elif self._role == upload.SECOND:
            share = yield from shared_join.second(shape, keys["s_12"], keys["s_23"], noise)
        else:
            yield from shared_join.third(shape, keys["s_13"], keys["s_23"], noise)
        safe = self._reviewed.plan.protection
        if isinstance(safe, Protect):
            ctx, before, after = together(self._reviewed, self._party, keys)
            yield from control.protect(prepare.control_shape(safe), ctx, share, before, after)

    def _play_join(
        self,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        """The join alone; what is returned is this party's share of the sums, where another protocol takes it over."""
        if brought is None and self._role != "helper":
            raise InternalError("internal.bug", where="a party without rows plays an input role")
        if self._shape is None or isinstance(self._shape, shared_join.Shape):
            raise InternalError("internal.bug", where="a join with a helper of tables of many holders")
        if isinstance(self._shape, star_join.Shape):
            return (yield from self._play_star(self._shape, keys, brought, noise, on_rows))
        if isinstance(self._shape, helper_join_b.Shape):
            return (yield from self._play_mode_b(self._shape, keys, brought, noise, on_rows))
        if isinstance(brought, helper_join.RowsOfA):
            return (yield from helper_join.party_a(self._shape, brought, keys["s_ab"], keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from helper_join.party_b(self._shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from helper_join.helper(self._shape, keys["s_ac"], keys["s_bc"], noise, on_rows))

    def _play_mode_b(
        self,
        shape: helper_join_b.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        if isinstance(brought, helper_join.RowsOfA):
            return (yield from helper_join_b.party_a(shape, brought, keys["s_ab"], keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from helper_join_b.party_b(shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from helper_join_b.helper(shape, keys["s_ac"], keys["s_bc"], noise, on_rows))

    def _play_star(
        self,
        shape: star_join.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        further = {star_join.role_of(number): number for number in range(len(shape.beside))}
        if self._role in further and isinstance(brought, helper_join.PeopleOfB):
            number = further[self._role]
            yield from star_join.party_d(shape, number, brought, keys[f"s_ad{number + 1}"])
            return None
        if on_rows is None:
            raise InternalError("internal.bug", where="more than two tables are joined and nothing is computed on rows")
        if isinstance(brought, helper_join.RowsOfA):
            families = [keys[f"s_ad{number + 1}"] for number in further.values()]
            return (yield from star_join.party_a(shape, brought, keys["s_ab"], families, keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from star_join.party_b(shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from star_join.helper(shape, keys["s_ac"], keys["s_bc"], noise, on_rows))
