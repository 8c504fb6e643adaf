"""The command as people give it: an operator, an approver, an analyst, an auditor. Every call is a process of its own,
and the first of each command a new interpreter.

The consortium below is set up as its operators would: folders by ``pets party init``, policies and directories written
by hand, three servers, mutual TLS on loopback.
"""

import json
import re
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest

from pets.approve.envelope import keygen
from pets.check.releases import Entry, release_of
from pets.demo.data import demo_folder
from pets.demo.people import make_people
from pets.ids import RunHandle
from pets.party.history import History
from pets.party.main import STATE_FILE
from pets.party.state import State
from pets.spec.parse import parse_toml
from pets.spec.query import Compare
from pets.spec.sql import bind
from tests import forked

SPEC = demo_folder() / "ae_by_tenure.spec.toml"
SANS = {
    "board": "spiffe://health-board.example/pets",
    "council": "spiffe://council.example/pets",
    "helper": "spiffe://helper.example/pets",
    "statistics": "spiffe://statistics.example/pets",
}
SERVERS = ("board", "council", "helper")
COMMANDS = (
    *("check", "lint", "explain", "schema", "keygen", "pending", "approve", "revoke"),
    *("submit", "run", "stop", "verify", "schedule", "ledger", "audit", "demo", "psi", "party"),
)

POLICY = """\
party = "{party}"

[approval]
k = 1
approvers = [{{ name = "{approver}", role = "asset owner", key = "{key}", organisation = "{party}" }}]

[limits]
max_epsilon_per_run = "2"
max_epsilon_per_dataset = "10"
max_delta = "2^-30"
period = "year"
recipients = ["spiffe://statistics.example/pets"]
purposes = ["dpv:ProvideOfficialStatistics", "dpv:ImprovePublicServices"]
protocols = ["helper_join_a"]
adversaries = ["semi-honest"]
{columns}
"""

COLUMNS = {
    "board": """
[columns.attendances]
nhs_number = ["join key"]
age_band = ["any use"]
minutes = ["any use"]
arrival = ["filter only"]
""",
    "council": """
[columns.housing]
nhs_number = ["join key"]
tenure = ["any use"]
""",
    "helper": "",
}


def pets(*words: object, code: int = 0, said: str = "", columns: int = 200) -> subprocess.CompletedProcess[str]:
    """Give a command; it must end with ``code``."""
    done = forked.pets(*map(str, words), said=said, columns=columns)
    assert done.returncode == code, f"pets {words[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


# -- authors ----------------------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_the_readme_has_it() -> None:
    said = pets("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", said, re.MULTILINE), command
    assert "..." not in said.partition("Commands:")[2], "a summary is cut"
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    commands = said.partition("Commands:")[2].strip()
    assert all(line.strip() in readme for line in commands.splitlines())


def test_check_and_help_load_nothing_heavy() -> None:
    code = (
        "import sys; from pets.cli import main; sys.argv = ['pets', 'check', sys.argv[1]]\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'numba', 'pandas', 'matplotlib', 'opendp', 'duckdb', 'pyarrow', 'grpc', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(SPEC)], check=True, capture_output=True, timeout=60)


def test_an_accepted_specification_exits_0() -> None:
    said = json.loads(pets("check", SPEC, "--json").stdout)
    assert said["accepted"] is True
    assert re.fullmatch("[0-9a-f]{64}", said["digest"])
    assert {"columns", "rows"} <= set(said["matrix"])
    assert "WHO LEARNS WHAT" in pets("check", SPEC).stdout


def test_a_refused_specification_exits_2_and_names_rule_and_path(tmp_path: Path) -> None:
    spec = tmp_path / "s.toml"
    spec.write_text(SPEC.read_text().replace('as = "declared maximum"', 'as = "exact"'))
    said = json.loads(pets("check", spec, "--json", code=2).stdout)
    assert said["accepted"] is False
    finding = next(f for f in said["findings"] if f["severity"] == "error")
    assert set(finding) == {"rule", "severity", "path", "message", "hint"}
    assert all(finding[name] for name in ("rule", "path", "message"))
    pets("check", spec, code=2)
    pets("explain", spec, code=2)


def test_lint_exits_0_2_and_1_and_shows_whose_policy_lowers_what(tmp_path: Path) -> None:
    assert pets("lint", SPEC).stdout.startswith("nothing refuses: no findings\n")
    spec, policy = tmp_path / "s.toml", tmp_path / "policy.toml"
    spec.write_text(SPEC.read_text().replace('"public interest; approval of', '"s.251 NHS Act 2006; approval of'))
    said = pets("lint", spec, code=2).stdout
    assert "LL-13  error (unreviewed)" in said and "section 251 does not apply in Scotland" in said
    assert "refused: 1 error" in said and "legal.board.confidentiality" in said
    keys = {"party": "board", "approver": "Ann", "key": keygen().text, "columns": '[lint]\nLL-13 = "warning"'}
    policy.write_text(POLICY.format(**keys))
    told = json.loads(pets("lint", spec, "--policy", policy, "--json").stdout)
    assert told["accepted"] is True and told["policy"] == "board"
    (finding,) = told["findings"]
    assert (finding["rule"], finding["severity"]) == ("LL-13", "warning")
    assert finding["standing"] == "unreviewed; lowered from error by the policy of board"
    assert finding["citation"].startswith("HSC-PBPP")
    assert "under the policy of board: 1 warning" in pets("lint", spec, "--policy", policy).stdout
    assert json.loads(pets("check", spec, "--json", code=2).stdout)["findings"][0]["rule"] == "LL-13"
    policy.write_text(POLICY.format(**keys).replace("LL-13", "LL-77"))
    pets("lint", spec, "--policy", policy, code=1)
    pets("lint", spec, "--policy", tmp_path / "none.toml", code=1)
    pets("lint", tmp_path / "none.toml", code=1)
    spec.write_text(SPEC.read_text().replace("article6 =", "articl6 ="))
    assert json.loads(pets("lint", spec, "--json", code=2).stdout)["accepted"] is False


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (('role = "measure"', 'role = "mesure"'), "dataset.attendances.columns.minutes.role"),
        (("max_rows = 250_000", "max_row = 250_000"), "dataset.attendances.max_row"),
        (('epsilon = "1"', "epsilon = 1.0"), "release.differential_privacy.epsilon"),
        (("AVG(a.minutes)", "AVG(a.minuts)"), "computation.sql"),
    ],
)
def test_a_typo_in_a_specification_is_named(tmp_path: Path, change: tuple[str, str], path: str) -> None:
    spec = tmp_path / "s.toml"
    assert change[0] in SPEC.read_text()
    spec.write_text(SPEC.read_text().replace(*change))
    said = json.loads(pets("check", spec, "--json", code=2).stdout)
    assert path in " ".join(f"{f['path']} {f['message']}" for f in said["findings"])


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"pets = [", b"\x00" * 100])
def test_an_unreadable_file_exits_1(tmp_path: Path, content: bytes | None) -> None:
    spec = tmp_path / "s.toml"
    if content is not None:
        spec.write_bytes(content)
    done = pets("check", spec, "--json", code=2 if content == b"" else 1)
    assert content == b"" or "s.toml" in done.stderr


@pytest.mark.parametrize("words", [["check"], ["nonsense"], ["schema", "house"], ["run", "x", "--nonsense"]])
def test_wrong_usage_exits_1(words: list[str]) -> None:
    assert pets(*words, code=1).stderr.startswith("pets: ")


@pytest.mark.parametrize(
    ("change", "code", "relation"),
    [
        (("SELECT h.tenure", "select  h.tenure"), 0, "equal"),
        (("max_runs = 60", "max_runs = 3"), 0, "narrower"),
        (("max_runs = 60", "max_runs = 61"), 2, "wider"),
        (("DATE '2026-01-01'", "DATE '2026-02-01'"), 2, "incomparable"),
        (("SELECT h.tenure", "SELECT MEDIAN(a.minutes) AS m, h.tenure"), 2, "incomparable"),
    ],
)
def test_diff_exits_0_if_nobody_learns_more_and_2_else(
    tmp_path: Path, change: tuple[str, str], code: int, relation: str
) -> None:
    new = tmp_path / "new.spec.toml"
    new.write_text(SPEC.read_text().replace(*change))
    assert new.read_text() != SPEC.read_text()
    assert pets("diff", SPEC, new, code=code).stdout.startswith(f"{relation}: ")
    told = json.loads(pets("diff", SPEC, new, "--json", code=code).stdout)
    assert told["relation"] == relation
    assert all(set(reason) == {"path", "direction", "sentence"} for reason in told["reasons"])
    assert len({told["old"], told["new"]}) == 2


@pytest.mark.parametrize("content", [None, b"\xff", b"[", b"pets = 1"])
def test_diff_exits_1_if_a_file_holds_no_specification(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "new.spec.toml"
    if content is not None:
        file.write_bytes(content)
    for words in ((SPEC, file), (file, SPEC)):
        assert pets("diff", *words, code=1).stderr


def test_explain_writes_one_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    pets("explain", SPEC, "--html", page)
    assert "<svg" in page.read_text()
    pets("explain", SPEC, "--html", tmp_path / "no" / "report.html", code=1)


def test_schemas_are_json() -> None:
    assert json.loads(pets("schema").stdout)["type"] == "object"
    assert json.loads(pets("schema", "card").stdout)


def test_what_check_prints_fulfils_the_schema_of_reports(tmp_path: Path) -> None:
    report = json.loads(pets("schema", "report").stdout)
    broken = tmp_path / "broken.toml"
    broken.write_text(SPEC.read_text().replace("max_runs = ", "most_runs = "))
    for spec, code in ((SPEC, 0), (broken, 2)):
        jsonschema.validate(json.loads(pets("check", spec, "--json", code=code).stdout), report)


def test_a_command_that_is_told_twice_to_end_ends_in_order() -> None:
    """A shell whose terminal is closed passes the signal on, and the system sends another as soon as it has gone."""
    code = (
        "import os, signal, sys, time; from pets import cli\n"
        "@cli.app.command('waits')\ndef waits() -> None:\n"
        "    try: os.kill(os.getpid(), signal.SIGHUP); time.sleep(9)\n"
        "    finally:\n"
        "        for number in (signal.SIGHUP, signal.SIGTERM): os.kill(os.getpid(), number); time.sleep(0.01)\n"
        "        print('told all parties')\n"
        "for number in (signal.SIGHUP, signal.SIGTERM): signal.signal(number, signal.SIG_DFL)\n"
        "sys.argv = ['pets', 'waits']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"told all parties\n", b"pets: stopped\n")


# -- keys -------------------------------------------------------------------------------------------------------------


def test_keygen_never_replaces_a_key(tmp_path: Path) -> None:
    key = tmp_path / "me.pem"
    said = pets("keygen", key).stdout
    assert "ed25519:" in said
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    assert "me.pem" in pets("keygen", key, code=1).stderr
    assert key.read_bytes() == before


# -- a consortium -----------------------------------------------------------------------------------------------------


@dataclass
class Consortium:
    """Folders, servers and files of three parties and a result party."""

    folder: Path
    spec: Path
    digest: str

    def config(self, party: str) -> Path:
        return self.folder / party / "party.toml"

    @property
    def directory(self) -> Path:
        return self.folder / "statistics" / "directory.toml"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("consortium")
    ports = _ports(len(SERVERS))
    keys = {}
    for party, san in SANS.items():
        how = ["--listen", f"127.0.0.1:{ports.pop()}"] if party in SERVERS else ["--no-server"]
        pets("party", "init", folder / party, "--name", party, "--san", san, "--organisation", f"the {party}",
             "--ca", folder / "ca", *how)  # fmt: skip
        if party in SERVERS:
            keys[party] = re.search(r"ed25519:\S+?(?=\s)", pets("keygen", folder / party / "me.pem").stdout).group()
    directory = ""
    for party in SANS:
        directory += (folder / party / "directory.toml").read_text() + "\n"
        if party in keys:
            directory += f'[[party.approver]]\nname = "Ann of {party}"\nkey = "{keys[party]}"\norganisation = "x"\n\n'
    records = make_people(folder / "records", people=400, seed=5)
    files = {"board": ("attendances", records.health), "council": ("housing", records.council)}
    for party in SANS:
        (folder / party / "directory.toml").write_text(directory)
        if party in keys:
            policy = POLICY.format(party=party, approver=f"Ann of {party}", key=keys[party], columns=COLUMNS[party])
            (folder / party / "policy.toml").write_text(policy)
        if party in files:
            name, file = files[party]
            with (folder / party / "party.toml").open("a") as config:
                config.write(f'\n[datasets.{name}]\nfile = "{file}"\n')
    spec = folder / "question.spec.toml"
    text = SPEC.read_text().replace("max_rows = 250_000", "max_rows = 2_000")
    text = text.replace("max_rows = 200_000", "max_rows = 1_000")
    spec.write_text(text.replace('schedule = "monthly"\n', ""))  # it is run, and what it covers, on one day
    children = [_serve(folder / party) for party in SERVERS]
    try:
        for child in children:
            _wait(child)
        digest = re.search(
            r"[0-9a-f]{64}", pets("submit", spec, "--directory", folder / "statistics/directory.toml").stdout
        )
        yield Consortium(folder, spec, digest.group())
    finally:
        for child in children:
            child.terminate()
        codes = [child.wait(30) for child in children]
    assert codes == [0, 0, 0], "a server did not end in good order"


@pytest.mark.timeout(400)  # three servers and twenty commands, one after the other
def test_from_submission_to_receipt_and_revocation(consortium: Consortium, tmp_path: Path) -> None:
    c, table = consortium, tmp_path / "table.csv"
    short = c.digest[:8]
    run = ("run", c.spec, "--directory", c.directory, "--out")

    said = pets("pending", "--config", c.config("board")).stdout
    assert short in said
    assert "pending" in said
    assert "0 of 1" in said
    assert "approval.too-few" in pets(*run, table, code=2).stderr
    assert not table.exists()

    page = tmp_path / "report.html"
    pets("explain", short, "--config", c.config("board"), "--html", page)
    assert c.digest in page.read_text()
    for party in SERVERS:
        me = c.folder / party / "me.pem"
        config = ("--key", me, "--config", c.config(party))
        if party == "board":
            declined = pets("approve", short, *config, code=1, said="n\n")
            assert "nothing was signed" in declined.stderr
            signed = pets("approve", short, *config, said="y\n")
            assert "A&E attendance by housing tenure" in signed.stdout
            assert "you sign as Ann of board" in signed.stdout
        else:
            signed = pets("approve", short, *config, "--runs", "2", "--yes")
        assert "approved, 1 of 1" in signed.stdout
    for party in ("board", "council"):
        assert "frozen as" in pets("party", "snapshot", short, "--config", c.config(party)).stdout

    chart = tmp_path / "table.png"
    handle = re.search(r"run ([0-9a-f]{32})", pets(*run, table, "--plot", chart).stderr)
    console = (c.folder / "helper" / "console.log").read_text()
    assert handle is not None
    assert all(f"{word} run {handle.group(1)}" in console for word in ("started", "finished"))
    assert table.read_text().startswith("tenure,age_band,attendances,attendances_low")
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert "is there already" in pets(*run, table, code=1).stderr

    receipt = tmp_path / "table.evidence" / "receipts" / "council.json"
    assert "verified" in pets("verify", receipt, "--directory", c.directory).stdout

    narrower = tmp_path / "narrower.spec.toml"
    narrower.write_text(c.spec.read_text().replace('epsilon = "1"', 'epsilon = "0.9"'))
    pets("submit", narrower, "--directory", c.directory)
    assert f"covered by {c.digest[:16]}" in pets("pending", "--config", c.config("board")).stdout
    covered = pets("run", narrower, "--directory", c.directory, "--out", tmp_path / "narrower.csv").stdout
    assert "under the approvals of an older specification" in covered
    told = pets("verify", tmp_path / "narrower.evidence", "--directory", c.directory).stdout
    assert f"is narrower, compared with {c.digest}" in told.replace("\n", " ")

    evidence = (tmp_path / "table.evidence", tmp_path / "narrower.evidence")
    for party in SERVERS:
        told = pets("party", "log", *evidence, "--config", c.config(party)).stdout
        assert told.count("is contained") == 2 and "the log contains every head" in told

    forged = tmp_path / "forged"
    shutil.copytree(tmp_path / "table.evidence", forged)
    (forged / "result.csv").write_text((forged / "result.csv").read_text().replace("owner", "ovner"))
    assert "receipt.result-differs" in pets("verify", forged, "--directory", c.directory, code=2).stderr

    config = ("--key", c.folder / "council" / "me.pem", "--config", c.config("council"))
    pets("revoke", short, *config, "--reason", "no longer needed", "--yes")
    assert "revoked" in pets("pending", "--config", c.config("council")).stdout
    assert "approval.revoked" in pets(*run, tmp_path / "other.csv", code=2).stderr
    assert not (tmp_path / "other.csv").exists()


def test_a_held_specification_is_shown_and_overruled_by_name(consortium: Consortium) -> None:
    """An exact release about almost the same rows, as there will be once they can be made, stands in the history."""
    spec = parse_toml(consortium.spec.read_text())
    query = bind(spec)
    other = replace(query, where_left=None, where_right=Compare("tenure", "<>", "owner"))
    release = release_of(spec, other).model_copy(update={"exact": True})
    board = consortium.config("board")
    with State(next((consortium.folder / "board").rglob(STATE_FILE))) as state:
        History(state).remember(RunHandle("earlier"), Entry("e" * 64, release, {}))
    said = pets("pending", "--config", board).stdout
    found = re.findall(r"suspicion ([0-9a-f]{16}) \(open\): together with eeeeeeeeeeee", said)
    assert found, said
    name = found[-1]  # of the first that was submitted: the newest are listed first
    explained = pets("explain", consortium.digest[:8], "--config", board).stdout
    assert "together with eeeeeeeeeeee" in explained and name in explained
    key = ("--key", consortium.folder / "board" / "me.pem", "--config", board, "--yes")
    assert (
        "approval.no-suspicion" in pets("approve", consortium.digest[:8], *key, "--overrule", "0" * 16, code=2).stderr
    )
    assert f"you overrule {name}" in pets("approve", consortium.digest[:8], *key, "--overrule", name).stdout
    assert f"suspicion {name} (overruled)" in pets("pending", "--config", board).stdout


@pytest.mark.parametrize(
    ("digest", "said"),
    [("abc", "run.digest"), ("ffffffffffff", "run.no-spec"), ("not hex", "run.no-spec")],
)
def test_a_digest_that_names_nothing_is_refused(consortium: Consortium, digest: str, said: str) -> None:
    config = consortium.config("board")
    done = pets("approve", digest, "--key", consortium.folder / "board" / "me.pem", "--config", config, code=2)
    assert said in done.stderr


def test_a_key_of_nobody_is_refused_before_it_signs(consortium: Consortium, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    pets("keygen", stranger)
    words = ("approve", consortium.digest[:12], "--key", stranger, "--config", consortium.config("board"), "--yes")
    assert "stranger.pem is not the key of an approver of board" in pets(*words, code=1).stderr
    assert "approval." in pets(*words, "--name", "Ann of board", code=2).stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--runs", "1000000"), "you can sign for fewer only"),
        (("--until", "2020-01-01"), "name a day of these"),
        (("--until", "2999-01-01"), "name a day of these"),
    ],
)
def test_terms_beyond_the_specification_are_not_signed(
    consortium: Consortium, more: tuple[str, ...], said: str
) -> None:
    key = ("--key", consortium.folder / "board" / "me.pem", "--config", consortium.config("board"), "--yes")
    done = pets("approve", consortium.digest[:12], *key, *more, code=1)
    assert said in done.stderr and "you sign as" not in done.stdout


def test_a_list_that_is_narrow_keeps_its_digests_whole(consortium: Consortium) -> None:
    assert consortium.digest[:16] in pets("pending", "--config", consortium.config("board"), columns=60).stdout


def test_what_is_no_handle_is_not_sent(consortium: Consortium) -> None:
    assert "32 digits" in pets("stop", "all", "--directory", consortium.directory, code=1).stderr


def test_a_request_that_is_none_is_refused_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")
    words = ("party", "certify", tmp_path / "key.pem", "--ca", tmp_path / "ca", "--out", tmp_path / "c.pem")
    assert "config.request" in pets(*words, "--san", "spiffe://a.example/pets", code=1).stderr
    assert "config.san" in pets(*words, "--san", "a.example", code=1).stderr
    assert not (tmp_path / "c.pem").exists()


def test_the_version_is_told_and_usage_says_where_to_read_on(tmp_path: Path) -> None:
    assert pets("--version").stdout.startswith("pets ")
    assert "see pets party init --help" in pets("party", "init", code=1).stderr
    assert pets("party", code=1).stderr.startswith("Usage: pets party")
    words = ("party", "init", tmp_path / "new", "--organisation", "x", "--san", "spiffe://a.example/pets")
    assert "config.name" in pets(*words, "--name", "A party", code=1).stderr
    assert not (tmp_path / "new").exists()


def test_a_run_that_nobody_knows_cannot_be_stopped(consortium: Consortium) -> None:
    assert "run.unknown" in pets("stop", "0" * 32, "--directory", consortium.directory, code=2).stderr


def test_a_party_without_the_ca_gets_its_certificate_by_request(tmp_path: Path) -> None:
    """The party makes a request, who keeps the CA signs it, the party's own command takes it."""
    folder, ca = tmp_path / "council", tmp_path / "ca"
    san = SANS["council"]
    said = pets("party", "init", folder, "--name", "council", "--san", san, "--organisation", "A council").stdout
    assert "pets party certify" in said
    assert not (folder / "tls" / "certificate.pem").exists()
    request, certificate = folder / "tls" / "request.pem", folder / "tls" / "certificate.pem"
    pets("party", "certify", request, "--san", san, "--ca", ca, "--out", certificate)
    assert "tls/ca.pem" in pets("pending", "--config", folder / "party.toml", code=1).stderr.replace(
        "file ca", "tls/ca"
    )
    (folder / "tls" / "ca.pem").write_bytes((ca / "ca.pem").read_bytes())
    assert "link.unreachable" in pets("pending", "--config", folder / "party.toml", code=1).stderr
    assert (
        "is there already"
        in pets(
            "party", "init", folder, "--name", "council", "--san", san, "--organisation", "A council", code=1
        ).stderr
    )


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _serve(home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pets.cli", "party", "serve", "--config", str(home / "party.toml")]
    with (home / "console.log").open("wb") as console:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=console, cwd=Path(__file__).parents[1])


def _wait(child: subprocess.Popen[bytes]) -> None:
    assert select.select([child.stdout], [], [], 100)[0], "a server is not ready after 100 s"
    assert b" ready on " in child.stdout.readline()
