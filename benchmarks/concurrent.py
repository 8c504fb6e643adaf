"""A hundred small sums at once on one pair of servers: how long each takes beside one that has them for itself.

Two computing parties are servers of their own, over loopback, with their state on disk. This process plays the client
and the holders of each run by hand: it starts the run at both, fetches the announcements, seals and hands in an upload
for each holder, and opens the sum. A latency is all of that: from the call that starts a run to the opened sum. One
client with as many threads as runs is what a service with many users is like; the work of clients and holders is on the
same machine here, and in the latencies.
"""

import datetime as dt
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.common import Case, arguments, show
from pets.approve import approvals
from pets.approve.envelope import SigningKey
from pets.demo.deploy import Deployment, deploy, server_of, start, wait_ready
from pets.errors import PetsError
from pets.ids import PartyId, RunHandle
from pets.kernels.prf import Stream
from pets.party import announcement, contribute, gate, hello, totals
from pets.party.announcement import Announced
from pets.party.cast import roles_of
from pets.party.config import read_client
from pets.party.drive import drive
from pets.party.joining import to_agree
from pets.plan.review import Reviewed, review
from pets.protocols.base import Binding
from pets.remote import network
from pets.secret import Secret
from pets.spec.parse import parse_toml
from pets.transport.calls import StartRequest
from pets.transport.grpc import Dialler, ResultLink
from pets.transport.remote import Remote
from tests.pooled import pooled_toml

HOLDERS = 3
AT_ONCE = 100
ALONE = 10
OVER_S = 5.0
TIMES = 3.0
"""How much longer the slowest but five of a hundred may take than one alone."""


class Asked:
    """One specification at two servers, and whoever runs it."""

    def __init__(self, deployment: Deployment, reviewed: Reviewed) -> None:
        self.reviewed, self.deployment = reviewed, deployment
        self.diallers = {party: self._dialler(party) for party in self._everybody()}
        self.approvals = tuple(self._approval(party) for party in deployment.approvers)
        self.words = contribute.layout_of(reviewed.plan).words

    def _everybody(self) -> list[PartyId]:
        spec = self.reviewed.spec
        return [spec.result_party, *contribute.pool_of(self.reviewed.plan).holders]

    def _dialler(self, party: PartyId) -> Dialler:
        home = self.deployment.folder / party
        file = home / ("party.toml" if party in self.deployment.endpoints else "client.toml")
        config = read_client(file, directory=home / "directory.toml", now=_now())
        return Dialler(config.credentials, config.directory.addresses())

    def _key(self) -> SigningKey:
        """The result party's, which signs what it submits."""
        home = self.deployment.folder / self.reviewed.spec.result_party
        return network(read_client(home / "client.toml", directory=home / "directory.toml", now=_now())).analyst.key

    def _approval(self, party: PartyId) -> bytes:
        person, key = next(iter(self.deployment.approvers[party].items()))
        validity = self.reviewed.spec.validity
        return approvals.approve(
            digest=self.reviewed.digest,
            plan_digest=self.reviewed.plan_digest,
            party=party,
            approver=person,
            key=key,
            not_before=validity.not_before,
            not_after=validity.not_after,
            max_runs=validity.max_runs,
        )

    def ready(self, toml: str) -> None:
        """Submit at both servers, and approve for both."""
        author = self.reviewed.spec.purpose.author
        envelope = approvals.submit(digest=self.reviewed.digest, author=author, key=self._key())
        for party in self.reviewed.spec.computing:
            Remote(self.diallers[self.reviewed.spec.result_party], party).submit(toml.encode(), envelope)
            server_of(self.deployment, party).approve(self._approval(party))

    def run(self) -> float:
        """One run: seconds from its start to its opened sum. Raises: AssertionError if the sum is wrong."""
        plan, computing = self.reviewed.plan, self.reviewed.spec.computing
        client = self.diallers[self.reviewed.spec.result_party]
        own = hello.make(to_agree(self.reviewed, None), os.urandom(16), {})
        request = StartRequest(RunHandle(os.urandom(16).hex()), self.reviewed.digest, own.body, self.approvals)
        began = time.perf_counter()
        starting = [threading.Thread(target=Remote(client, party).start, args=(request,)) for party in computing]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        holders = contribute.pool_of(plan).holders
        found = self._announced(holders[0], request.handle)
        sending = [
            threading.Thread(target=self._upload, args=(board, number, request.handle, found))
            for number, board in enumerate(holders, 1)
        ]
        for thread in sending:
            thread.start()
        passage = gate.Gate(gate.project_plan(plan, roles_of(self.reviewed), "result"))
        link = ResultLink(self.reviewed.spec.result_party, found.run_id, computing, client, 600.0)
        sent = drive(totals.take(plan, roles_of(self.reviewed)), passage, link, deadline_s=600.0)
        opened = totals.again(plan, sent)
        took = time.perf_counter() - began
        link.close()
        passage.close()
        for thread in sending:
            thread.join()
        wanted = len(holders) * (len(holders) + 1) // 2
        assert opened.sums[0, 0] == wanted, (opened.sums, wanted)
        return took

    def _announced(self, board: PartyId, handle: RunHandle) -> Announced:
        computing = self.reviewed.spec.computing
        said = {}
        for party in computing:
            while party not in said:
                try:
                    body = Remote(self.diallers[board], party).announcement(handle)
                    said[party] = announcement.decode(body, peer=party)
                except PetsError as error:
                    if error.code not in ("run.unknown", "link.busy"):
                        raise
                    time.sleep(0.01)
        return announcement.check(said, to_agree(self.reviewed, None), computing)

    def _upload(self, board: PartyId, value: int, handle: RunHandle, found: Announced) -> None:
        plan = self.reviewed.plan
        values = contribute.layout_of(plan).packed({"0": np.full(contribute.cells_of(plan), value)})
        tied = Binding(digest=bytes.fromhex(self.reviewed.digest), run_id=found.run_id)
        publics = {party: each.upload for party, each in found.hellos.items()}
        drawn = Stream(Secret(os.urandom(16)))
        for part in contribute.parts(plan, board, values, tied=tied, drawn=drawn, publics=publics):
            self._hand_in(Remote(self.diallers[board], part.to), handle, found.run_id, part.body)

    def _hand_in(self, to: Remote, handle: RunHandle, run_id: bytes, body: bytes) -> None:
        """As a holder's server does it: who is busy is asked again, with the same bytes."""
        while True:
            try:
                to.upload(handle, run_id, body)
                return
            except PetsError as error:
                if error.code != "link.busy":
                    raise
                time.sleep(0.01)


@contextmanager
def asked(runs: int) -> Iterator[Asked]:
    """Two servers that are ready to run a small sum so many times."""
    spec = parse_toml(toml_of(runs))
    reviewed = review(spec).settled()
    with tempfile.TemporaryDirectory() as folder:
        deployment = deploy(Path(folder) / "parties", spec, {})
        for party in spec.computing:
            file = deployment.config(party)
            text = file.read_text(encoding="utf-8")
            assert "run_s = 600" in text
            file.write_text(text.replace("run_s = 600", f"run_s = 600\nuploads = {max(64, AT_ONCE + 8)}"), "utf-8")
        running = [start(deployment, party) for party in spec.computing]
        try:
            for process in running:
                wait_ready(process, deployment)
            made = Asked(deployment, reviewed)
            made.ready(toml_of(runs))
            yield made
        finally:
            for process in running:
                process.end()
            for process in running:
                process.stop()


def at_once(made: Asked, count: int, *, over: float) -> tuple[list[float], float]:
    """So many runs that start evenly over so many seconds: the latency of each, and seconds until the last was done.

    All are open from the beginning to the end of what is measured: each takes uploads until its holders' are here.
    """
    found: list[float] = []
    failed: list[BaseException] = []
    go = threading.Event()

    def run(number: int) -> None:
        go.wait()
        time.sleep(over * number / count)
        try:
            found.append(made.run())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    go.set()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sorted(found), time.perf_counter() - began


def toml_of(runs: int) -> str:
    """A count of visits by ward at three boards."""
    today = _now().date()
    dates = (
        ("not_before = 2026-01-01", f"not_before = {today - dt.timedelta(days=1)}"),
        ("not_after = 2026-12-31", f"not_after = {today + dt.timedelta(days=300)}"),
    )
    sql = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"
    noise = '[release.differential_privacy]\nepsilon = "100"\nneighbours = "one person\'s rows added or removed"\n'
    made = pooled_toml(HOLDERS, 2, sql=sql, protection=noise, minutes=10, runs=runs)
    for old, new in dates:
        made = made.replace(old, new)
    return made


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _quantile(found: list[float], of: float) -> float:
    """The least that so many of all are not above."""
    return found[max(0, -(-int(len(found) * of * 100) // 100) - 1)]


def measure(count: int, alone: int, over: float) -> Iterator[Case]:
    """Runs one after another; then so many that start within some seconds; then so many that start at one moment."""
    with asked(alone + 2 * count + 10) as made:
        for _ in range(3):
            made.run()  # opens connections, and whatever else happens once
        one = statistics.median(made.run() for _ in range(alone))
        for name, seconds in (("concurrent.steady", over), ("concurrent.burst", 0.0)):
            together, whole = at_once(made, count, over=seconds)
            p50, p95 = _quantile(together, 0.5), _quantile(together, 0.95)
            yield Case(
                name=name,
                size=count,
                runs=together,
                bytes=0,
                rounds=0,
                peak_rss_mb=0,
                steps={"alone": one, "p50": p50, "p95": p95, "all": whole},
                peers={},
                more={"holders": HOLDERS, "times": round(p95 / one, 2), "a_second": round(count / whole, 1)},
            )


def main() -> None:
    parser = arguments(__doc__, size=AT_ONCE, what="runs at once")
    parser.add_argument("--alone", type=int, default=ALONE, help="runs one after another")
    parser.add_argument("--over", type=float, default=OVER_S, help="seconds over which steady ones start")
    given = parser.parse_args()
    for case in measure(given.size, given.alone, given.over):
        show(case, as_json=given.json)
        if case.more["times"] > TIMES:
            print(f"p95 is {case.more['times']} times that of one alone; at most {TIMES} is wanted", file=sys.stderr)


if __name__ == "__main__":
    main()
