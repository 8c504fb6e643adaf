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
    "spec.too-large": Code(
        "{file} is larger than {limit} bytes", "shorten it: a specification is read by people", "INVALID_ARGUMENT"
    ),
    "spec.not-canonical": Code(
        "a specification in JSON is not in canonical form: {problem}", "send the canonical form", "INVALID_ARGUMENT"
    ),
    "spec.program": Code("{file}, line {line}: the program {problem}", "{advice}", "INVALID_ARGUMENT"),
    "spec.program-terms": Code("program {program}: {path}: {problem}", "{advice}", "INVALID_ARGUMENT"),
    # -- sql: the query in the author's text is wrong, or is outside the language --------------------------------------
    "sql.too-long": Code("the query has {size} {unit}; at most {limit} are read", "shorten it", "INVALID_ARGUMENT"),
    "sql.too-deep": Code(
        "line {line}, column {column}: {construct} is nested more than {limit} deep",
        "write it with fewer parentheses and NOTs",
        "INVALID_ARGUMENT",
    ),
    "sql.character": Code(
        "line {line}, column {column}: {construct} cannot stand here", "{advice}", "INVALID_ARGUMENT"
    ),
    "sql.syntax": Code(
        "line {line}, column {column}: cannot read the query at {construct}: {problem}", "{advice}", "INVALID_ARGUMENT"
    ),
    "sql.unsupported": Code(
        "line {line}, column {column}: {construct} is not in the language of specifications",
        "{advice}",
        "INVALID_ARGUMENT",
    ),
    "sql.function": Code(
        "line {line}, column {column}: {construct} is not a statistic of the language", "{advice}", "INVALID_ARGUMENT"
    ),
    "sql.argument": Code("line {line}, column {column}: {construct} {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.tables": Code("line {line}, column {column}: {construct}: {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.join": Code("line {line}, column {column}: {construct}: {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.table": Code(
        "line {line}, column {column}: {construct} is not a table of this query", "{advice}", "INVALID_ARGUMENT"
    ),
    "sql.column": Code(
        "line {line}, column {column}: {construct} is not a column that the specification declares",
        "{advice}",
        "INVALID_ARGUMENT",
    ),
    "sql.ambiguous": Code(
        "line {line}, column {column}: {construct} can mean {meanings}",
        "say which: write the table's name and a dot before it",
        "INVALID_ARGUMENT",
    ),
    "sql.literal": Code("line {line}, column {column}: {construct} {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.level": Code(
        "line {line}, column {column}: {construct} is not a declared level of {of}", "{advice}", "INVALID_ARGUMENT"
    ),
    "sql.type": Code("line {line}, column {column}: {construct} {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.person-id": Code(
        "line {line}, column {column}: {construct} is a person id, which no condition may name",
        "select rows by other columns: a condition on ids singles people out",
        "INVALID_ARGUMENT",
    ),
    "sql.cross-table": Code(
        "line {line}, column {column}: one condition uses {construct} and {other}, and is no comparison of the two",
        "compare a column of each table with =, <>, <, <=, > or >=, or write conditions that each use one table",
        "INVALID_ARGUMENT",
    ),
    "sql.cross-type": Code(
        "line {line}, column {column}: {construct} is compared with a column of the other table, and it is a {type}",
        "compare measures with measures and dates with dates; other columns can be grouped by in both tables",
        "INVALID_ARGUMENT",
    ),
    "sql.outer-across": Code(
        "line {line}, column {column}: {construct} has a condition on both tables of a LEFT JOIN",
        "write JOIN, or a condition on the second table that no unmatched row meets (other.id IS NOT NULL)",
        "INVALID_ARGUMENT",
    ),
    "sql.outer-where": Code(
        "line {line}, column {column}: the condition on {construct} keeps the unmatched rows of a LEFT JOIN",
        "move it into ON if it should choose rows of {construct} before the join; "
        "people without a match are in the level (missing)",
        "INVALID_ARGUMENT",
    ),
    "sql.outer-on": Code(
        "line {line}, column {column}: ON of a LEFT JOIN has a condition on {construct}, whose rows are all kept",
        "move it into WHERE",
        "INVALID_ARGUMENT",
    ),
    "sql.group": Code("line {line}, column {column}: {construct} {problem}", "{advice}", "INVALID_ARGUMENT"),
    "sql.name": Code("line {line}, column {column}: {construct} {problem}", "{advice}", "INVALID_ARGUMENT"),
    # -- card: a card file is wrong -----------------------------------------------------------------------------------
    "card.none": Code("no card found in {folder}", "install the package again; its cards are missing", "INTERNAL"),
    "card.unreadable": Code("{file} cannot be read: {problem}", "restore the card from the release", "INTERNAL"),
    "card.field": Code("{file}, {path}: {problem}", "mend the card", "INTERNAL"),
    "card.formula": Code("formula {formula!r} {problem}", "use the grammar of pets/spec/formula.py", "INTERNAL"),
    "card.term": Code("term {term!r} {problem}", "use the grammar of pets/spec/term.py", "INTERNAL"),
    "card.parameters": Code(
        "card {card}: parameters missing or unknown: {names}", "give what [public] lists", "INTERNAL"
    ),
    # -- leak: well formed, but tells too much ------------------------------------------------------------------------
    "leak.undeclared": Code(
        "{learner} learns {item} by this protocol, and [[security.leakage]] does not say so",
        "declare it, with the epsilon and delta of its noise",
        "INVALID_ARGUMENT",
    ),
    "leak.differencing": Code("{problem}", "{advice}"),
    "leak.refused": Code("{refusals} rule(s) refuse the specification, first {rule}: {problem}", "{advice}"),
    # -- dp: the privacy budget cannot carry the question -------------------------------------------------------------
    "dp.scale": Code(
        "{column}: noise would be wider than 2^20 of the coarsest useful unit",
        "raise epsilon or rho, or the weight of this column, or lower max_rows_per_person",
        "INVALID_ARGUMENT",
    ),
    "dp.weights": Code(
        "release.differential_privacy.weights names {unknown}, which the query does not noise",
        "use the names that `pets check` prints: {known}",
        "INVALID_ARGUMENT",
    ),
    # -- peer: another party broke the protocol (carriage) ------------------------------------------------------------
    "peer.hello": Code("{peer} sent a hello that is none", "compare the versions of both servers", "INVALID_ARGUMENT"),
    "peer.positions": Code("message {label} repeats a position or leaves its range", "start a new run"),
    "peer.element": Code(
        "the bytes at place {place} of {label} encode no element of the group, or its identity", "start a new run"
    ),
    "peer.twice": Code("places {first} and {second} of message {label} have one element", "start a new run"),
    "peer.check": Code(
        "{label} contradicts what was sent before: it was changed on its way, or who sent it broke the protocol",
        "start a new run; if it happens again, ask them what their server runs",
    ),
    "peer.other-set": Code(
        "{label} is of another run, or was made in another way: not even the entry that both bring is in common",
        "compare specification and software with them, and start a new run",
    ),
    "peer.mark": Code("{peer} handed in an upload with the mark of another one, or without one", "start a new run"),
    "peer.share-encoding": Code(
        "{peer} sent {what} with a number that is not below the prime of its field",
        "compare the versions of both servers",
    ),
    "peer.proof": Code(
        "what {peer} handed in is not proved to be within its bounds: it is out of them, changed, or of another run",
        "ask {peer} to hold its records and its software against the specification, and start a new run",
    ),
    "peer.flags": Code("the bits of {label} do not go with their words of check", "start a new run"),
    "peer.result": Code(
        "the final shares are not of one run: they add up to what no two tables give", "start a new run"
    ),
    "peer.residue": Code("the number at place {place} of {label} is not below its prime", "start a new run"),
    "peer.transparent": Code(
        "ciphertext {place} of {label} hides nothing, as none that is made has it", "start a new run"
    ),
    "peer.sum": Code(
        "a sum of {label} does not open as every sum does that was made and sent as it should be",
        "compare software with them, and start a new run",
    ),
    "peer.program": Code(
        "{peer} sent the program something else than a frame of it: {problem}",
        "start a new run; if it happens again, compare software with them",
    ),
    "peer.released": Code(
        "what the parties send of the output {output} is no number in shares: one of them or more did not follow the "
        "protocol",
        "compare software with them, and start a new run",
    ),
    "peer.tags": Code("a list of tags is not what the card says: {problem}", "start a new run"),
    "peer.frame": Code("{peer} sent a frame that is none: {problem}", "start a new run", "INVALID_ARGUMENT"),
    "peer.other-run": Code("{peer} sent a frame of another run", "start a new run", "INVALID_ARGUMENT"),
    "peer.unexpected": Code("{peer} sent {message}, which the plan does not let it send", "start a new run"),
    "peer.bad-length": Code(
        "{peer} sent {message} with {got} bytes instead of {expected}", "start a new run", "INVALID_ARGUMENT"
    ),
    "peer.budget": Code(
        "{peer} sent more than the {limit} bytes that the specification gives it",
        "start a new run; if it happens again, compare software with them",
        "RESOURCE_EXHAUSTED",
    ),
    "peer.repeated": Code("{peer} sent {message} or a part of it twice", "start a new run", "ALREADY_EXISTS"),
    "peer.gap": Code(
        "{peer} sent chunk {got} of {message} where {expected} was next", "start a new run", "OUT_OF_RANGE"
    ),
    "peer.order": Code("{peer} sent {message} where {due} was next", "start a new run", "OUT_OF_RANGE"),
    "peer.aborted": Code("{peer} ended the run: {reason}", "look at the log of {peer}", "ABORTED"),
    "peer.refused": Code("{peer} refused: {reason}", "{advice}"),
    "peer.upload-late": Code(
        "an upload of {peer} came after the deadline", "agree on a later deadline in the next run", "DEADLINE_EXCEEDED"
    ),
    "peer.upload-holder": Code(
        "{peer} may not upload under this name", "upload under the own name, as an input party", "PERMISSION_DENIED"
    ),
    "peer.uploaded": Code(
        "{peer} says that it takes no part, and its upload was taken before: it counts",
        "withdraw the upload, as long as uploads are taken",
        "FAILED_PRECONDITION",
    ),
    "peer.withdraw-late": Code(
        "{peer} wants its upload back, and uploads are over: it counts, if every computing party has it",
        "end the run for all while it is not over (pets stop, at a computing party too): nothing is opened then",
        "DEADLINE_EXCEEDED",
    ),
    "peer.declined": Code(
        "{peer} has said in this run that it takes no part in it",
        "take part in the next run: who has declined is out of this one",
        "FAILED_PRECONDITION",
    ),
    "peer.upload-run": Code(
        "the upload of {peer} is bound to another run or specification",
        "make a new upload for this run: an upload serves one run",
        "INVALID_ARGUMENT",
    ),
    "peer.upload-sealed": Code(
        "the upload of {peer} does not open: it was sealed to another key, or changed on its way",
        "make a new upload with the keys of this run",
        "INVALID_ARGUMENT",
    ),
    "peer.upload-range": Code(
        "the upload of {peer} has a word at place {place} that is no element of the field",
        "ask them what their software is",
        "INVALID_ARGUMENT",
    ),
    "peer.upload-seed": Code(
        "the seed in the upload of {peer} is all zeros, of which no keys are made",
        "ask them what their software is",
        "INVALID_ARGUMENT",
    ),
    "peer.upload-twice": Code(
        "an upload of {peer} is on its way already", "wait for its answer, and upload once", "ABORTED"
    ),
    "peer.upload-refused": Code(
        "{most} uploads of {peer} were refused in this run, and no more are looked at",
        "ask them what their software is, and start a new run",
        "RESOURCE_EXHAUSTED",
    ),
    "peer.announcement": Code(
        "{peer} announced a run that {problem}",
        "compare what the computing parties announce, and upload to none of them",
    ),
    "peer.lists": Code(
        "{label}: {problem}; no sum was sent",
        "compare with the other computing parties whose uploads arrived, and start a new run",
    ),
    "peer.polynomial": Code(
        "the shares of {got} computing parties lie on no polynomial of degree {degree}: one of them is wrong",
        "start a new run; if it happens again, leave out one computing party after another",
    ),
    "peer.answer": Code("{peer} gave an answer that is none: {problem}", "compare the versions of both servers"),
    # -- link: the network --------------------------------------------------------------------------------------------
    "link.unreachable": Code(
        "{peer} cannot be reached or is not who its certificate should say",
        "check that its server runs, and its endpoint, san and ca in directory.toml",
        "UNAVAILABLE",
    ),
    "link.deadline": Code("{peer} did not finish {step} within {seconds} s", "start a new run", "DEADLINE_EXCEEDED"),
    "link.cut": Code("the connection with {peer} broke in mid-message", "start a new run", "UNAVAILABLE"),
    "link.closed": Code("the run has ended here", "start a new run", "CANCELLED"),
    "link.no-run": Code("no such run, or not one of the caller's", "start the run at every party", "NOT_FOUND"),
    "link.busy": Code("too many calls at once", "wait and try again", "RESOURCE_EXHAUSTED"),
    "link.stranger": Code(
        "the caller's certificate names nobody of the directory", "add the party to directory.toml", "PERMISSION_DENIED"
    ),
    "link.listen": Code("cannot listen on {endpoint}", "free the port or change listen in party.toml", "UNAVAILABLE"),
    "link.too-large": Code("{what} is larger than {limit} bytes", "send less", "RESOURCE_EXHAUSTED"),
    "link.request": Code(
        "{what} is not what this call takes", "compare the versions of both sides", "INVALID_ARGUMENT"
    ),
    # -- run: a run was refused, stopped or ended ---------------------------------------------------------------------
    "run.stopped": Code("{by} stopped the run; nothing was opened", "ask them why, and start a new run", "ABORTED"),
    "run.ended": Code("{party} ended the run: {reason}", "look at the console and log of {party}", "ABORTED"),
    "run.not-yours": Code("{party} has no part in this", "ask a party of the specification", "PERMISSION_DENIED"),
    "run.other-result": Code(
        "{file} is for {result} to run, and you are {party}",
        "leave it to them and put the file elsewhere, or name another client.toml by --client",
    ),
    "run.busy": Code("{party} has as many runs under way as it takes", "wait and start again", "RESOURCE_EXHAUSTED"),
    "run.no-receipt": Code("run {handle} has no receipt yet", "wait for its end", "NOT_FOUND"),
    "run.plan-changed": Code(
        "{digest} is lowered to another plan than when it was approved", "have the specification approved again"
    ),
    "run.other-software": Code("{peer} runs another version of this software", "bring both to the same version"),
    "run.other-spec": Code(
        "{peer} holds another specification under this run", "submit the specification again to all"
    ),
    "run.other-cover": Code(
        "{peer} is about to run this specification under other approvals", "start again; let all parties hold the same"
    ),
    "run.other-plan": Code("{peer} lowered the specification to another plan", "compare software and cards with them"),
    "run.other-cards": Code("{peer} has other protocol cards", "bring both to the same version"),
    "run.worker": Code(
        "the process that computes on ciphertexts {problem}",
        "look for memory and time in the log of this party, and start a new run",
    ),
    "run.program": Code(
        "the process that runs the program {problem}",
        "try the program on made-up data with pets.run_program, which shows what it says",
    ),
    "run.other-program": Code(
        "the program {program} at hand is not the one that approvers signed",
        "submit its text and its terms again, and have these approved",
    ),
    "run.table": Code(
        "a table of this run cannot be written, which happens by chance once in 2^39 runs and says nothing of records",
        "start a new run",
        "ABORTED",
    ),
    "run.tags": Code(
        "two tags of this run are equal by chance, which happens once in 2^41 runs and says nothing of records",
        "start a new run",
        "ABORTED",
    ),
    "run.test-point": Code(
        "a check would tell more than its outcome, by a chance of 2^-57 an upload, which says nothing of records",
        "start a new run",
        "ABORTED",
    ),
    "run.contributors": Code(
        "{took} holders handed in their numbers in time, and the specification asks for {minimum}: nothing was opened",
        "find out who is missing and why, and start a new run when they are ready or with more time for uploads",
    ),
    "run.quorum": Code(
        "{got} computing parties answered alike, and {needed} are needed",
        "start a new run when more of them are there",
        "UNAVAILABLE",
    ),
    "run.points": Code("points of computing parties: {problem}", "number them from 1", "INTERNAL"),
    "run.other-dummies": Code("{peer} computed another table of dummies", "bring both to the same version"),
    # -- spec, dp: refusals that need the roles or the plan -----------------------------------------------------------
    "spec.helper": Code(
        "the join needs exactly one computing party that holds none of its tables, found {found}",
        'give one party without a dataset the role "computing"',
        "INVALID_ARGUMENT",
    ),
    "spec.shared": Code(
        "{path}: {problem}, which no protocol does for tables of several holders",
        "ask for it of tables of one holder each, or leave it out",
        "INVALID_ARGUMENT",
    ),
    "spec.protocol": Code(
        "{path}: {protocol} does not join tables",
        "name a protocol that does, or leave the choice to the planner",
        "INVALID_ARGUMENT",
    ),
    "spec.no-noise": Code(
        "nothing protects the released table: [release.differential_privacy] is missing",
        "add epsilon and neighbours under [release.differential_privacy]",
    ),
    "spec.no-aggregate": Code(
        "the query releases no aggregate", "select COUNT(*), SUM, AVG or another aggregate of the language"
    ),
    "spec.b-cells": Code(
        "the grouping columns of {dataset} have {cells} cells, of which at most {most} are told apart where a person "
        "may have several rows",
        "prepare one row a person in {dataset}, merge levels, or group by fewer columns of it",
    ),
    "spec.cells": Code("the table has {cells} cells; at most {most} are released", "group by fewer columns or levels"),
    "spec.proof": Code(
        "proofs that numbers are in range are made bit by bit, and a vector of this table has {bits} bits; at most "
        "{most} are allowed",
        "group by fewer columns or levels, ask for fewer sums, or declare narrower ranges or fewer rows",
    ),
    "spec.dummies": Code(
        "hiding the match count at this epsilon takes {slots} dummies on each side; at most {most} are allowed",
        "declare a larger epsilon or delta for match_count, or fewer rows per person",
    ),
    "spec.rows": Code(
        "the declared sizes make lists of {rows} rows; positions allow {most}", "declare smaller max_rows"
    ),
    "spec.key-bits": Code(
        "identifier, cell and number of a row make a key of {bits} bits; at most {most} are sorted",
        "group by fewer cells, or declare smaller max_rows",
    ),
    "dp.match-count": Code(
        "no number of dummies hides the match count at epsilon {epsilon} and delta {delta}",
        "declare an epsilon of 0.1 to 1 and a delta of 2^-40 for match_count",
        "INVALID_ARGUMENT",
    ),
    "dp.digits": Code(
        "{column}: its share of epsilon over its sensitivity is a fraction with more than 52 bits",
        "write epsilon with fewer digits, or weights that add up to a rounder number",
        "INVALID_ARGUMENT",
    ),
    "dp.law": Code(
        "what leaves an intersection with noise has discrete Laplace noise; Gaussian noise is for tables of a query",
        'write mechanism = "discrete laplace" and an epsilon in the place of rho',
        "INVALID_ARGUMENT",
    ),
    "leak.compare-range": Code(
        "columns that are compared across tables reach 2^{bits}, in units of the finer one",
        "declare a narrower range, or fewer places",
    ),
    "leak.fit-rows": Code(
        "a logistic regression of {rows} rows: sums over them need words of more than 64 bits from {most} on",
        "lower max_rows",
    ),
    "leak.fit-range": Code(
        "{column} has a range of more than 2^{bits} units of its last place, which is all that sums over so many rows "
        "leave room for",
        "declare a narrower range, or fewer places",
    ),
    "leak.order-range": Code(
        "{column}: its values are not rounded to a step, or come to 2^39 units of its last place",
        "write its step in round_values_to, or declare a narrower range",
    ),
    "leak.dominance-range": Code(
        "{column}: {what} reaches 2^{bits}, and single contributions could not be compared",
        "declare a narrower range or smaller max_rows, group by less, or leave rules on dominance out",
    ),
    "dp.range": Code(
        "{column}: its greatest possible sum and the noise reach 2^{bits}",
        "declare a narrower range or smaller max_rows",
    ),
    # -- approval: signatures, and what makes them count -------------------------------------------------------------
    "approval.envelope": Code(
        "the envelope is malformed: {problem}", "sign again with pets approve", "INVALID_ARGUMENT"
    ),
    "approval.payload-type": Code(
        "the envelope says payload type {got}, and only application/vnd.in-toto+json is read",
        "sign again with pets approve",
    ),
    "approval.stripped": Code("the envelope carries no signature", "hand in the envelope that was signed"),
    "approval.forged": Code(
        "a signature does not fit the payload: one of the two was changed", "hand in the envelope that was signed"
    ),
    "approval.unknown-key": Code(
        "a signature was made with a key that nobody here is known by", "add the key to policy.toml or directory.toml"
    ),
    "approval.duplicate-signature": Code("one signature is listed twice", "hand in the envelope that was signed"),
    "approval.one-key-two-ids": Code("one key signed under two key ids", "hand in the envelope that was signed"),
    "approval.statement": Code(
        "the signed statement is not what is expected: {problem}", "sign again with pets approve"
    ),
    "approval.other-digest": Code(
        "{approver} signed specification {got}, not {expected}", "read and sign the specification that is to run"
    ),
    "approval.other-plan": Code(
        "{approver} signed another plan of this specification: {got}, not {expected}",
        "compare the versions of both servers, then read and sign again",
    ),
    "approval.other-party": Code("{approver} signed for {got}, not for {party}", "let an approver of {party} sign"),
    "approval.not-an-approver": Code(
        "the signer is no approver of {party}", "let an approver of {party}'s policy.toml sign"
    ),
    "approval.other-name": Code(
        "the approval names {got}, and its key belongs to {approver}", "sign under the name in policy.toml"
    ),
    "approval.not-yet-valid": Code("{approver}'s approval is valid from {not_before}", "wait until {not_before}"),
    "approval.expired": Code("{approver}'s approval was valid until {not_after}", "let {approver} sign again"),
    "approval.spec-not-yet-valid": Code("the specification is valid from {not_before}", "wait until {not_before}"),
    "approval.spec-expired": Code("the specification was valid until {not_after}", "submit a new specification"),
    "approval.by-author": Code(
        "{approver} is the author, who does not approve their own work", "let another person sign"
    ),
    "approval.by-submission-key": Code(
        "{approver}'s approval was signed with the key that submitted the specification", "let another person sign"
    ),
    "approval.revoked": Code(
        "{approver} of {party} revoked the specification", "submit a new specification that meets the objection"
    ),
    "approval.withdrawn": Code(
        "an approver of {party} withdrew {digest}, for good: a signature would change nothing",
        "ask for a new specification that meets the objection",
    ),
    "approval.duplicate": Code(
        "{approver} approved more than once, which counts once: {have} of {need} of {party}", "let another person sign"
    ),
    "approval.one-person-two-keys": Code(
        "{approver} signed with two keys, which counts once: {have} of {need} of {party}", "let another person sign"
    ),
    "approval.too-few": Code("{party} has {have} of {need} approvals", "let more approvers of {party} sign"),
    "approval.roles": Code("the approvals of {party} lack: {lacking}", "let an approver who adds this sign"),
    "approval.differencing": Code(
        "{party} has not overruled suspicion {suspicion}: {problem}",
        "have an approver of {party} read it (pets pending) and sign with --overrule {suspicion}",
    ),
    "approval.held": Code(
        "at {party} a suspicion is open: it could be combined with earlier releases",
        "have an approver of {party} read it (pets pending) and overrule it by its name, or ask for another table",
    ),
    "approval.no-suspicion": Code(
        "{suspicion} is no suspicion against this specification today", "copy a name from pets pending"
    ),
    "approval.no-peer": Code("no approval of {party} was handed over", "let {party} approve first"),
    "approval.not-covered": Code(
        "{party} finds {got} {relation}, compared with {cover}, whose approvals do not cover it: {reason}",
        "let the approvers sign this specification, or ask for no more than they signed (pets diff)",
    ),
    "approval.no-reuse": Code(
        "by its policy, {party} has every specification signed by itself", "let its approvers sign this one"
    ),
    "approval.no-cover": Code(
        "no approved specification covers {digest} at every party: {found}",
        "let the approvers of every party sign it, or submit the covering one to all",
    ),
    "approval.submission": Code(
        "the submission does not fit: {problem}", "sign the submission again with the author's key"
    ),
    # -- budget: used up ----------------------------------------------------------------------------------------------
    "budget.runs": Code(
        "all {allowed} runs of {digest} that are approved are used up",
        "if approvers signed for fewer runs than it allows, let them sign for all; otherwise submit a specification "
        "with a larger max_runs",
    ),
    "budget.not-due": Code(
        "{digest} runs {schedule} and last ran on {last}; its next run is due {due}",
        "wait until it is due: a run that was left out is not made up for",
    ),
    "budget.same-rows": Code(
        "it last ran on {last}, and no table has been renewed since: {tables}",
        "wait until records are refreshed; a person may run it all the same (pets run)",
    ),
    "budget.epsilon": Code(
        "{dataset}, per {unit}: epsilon spent {spent}, requested {requested}, remaining {remaining} of {cap}{period}",
        "{advice}",
    ),
    "budget.delta": Code(
        "{dataset}, per {unit}: delta spent {spent}, requested {requested}, remaining {remaining} of {cap}{period}",
        "{advice}",
    ),
    "budget.rho": Code(
        "{dataset}, per {unit}: rho spent {spent}, requested {requested}, remaining {remaining} of {cap}{period}",
        "{advice}",
    ),
    "budget.no-cap": Code(
        "{dataset} has no cap in the policy, which means nothing may be spent", "set limits in policy.toml"
    ),
    "budget.charged": Code(
        "run {run} has already been charged", "start a new run under a new handle", "ALREADY_EXISTS"
    ),
    "budget.no-reservation": Code("run {run} has nothing reserved", "reserve before the run starts"),
    # -- run: the journal ---------------------------------------------------------------------------------------------
    "run.handle-used": Code(
        "run handle {handle} was used before", "start a new run under a new handle", "ALREADY_EXISTS"
    ),
    "run.unknown": Code("no run {handle}", "start the run first", "NOT_FOUND"),
    "run.order": Code("run {handle} is {state}, so it cannot {event}", "start a new run"),
    "run.crashed": Code("the server stopped while the run was under way", "start a new run", "ABORTED"),
    "run.reused": Code("{what} was used before", "start a new run with fresh randomness", "ALREADY_EXISTS"),
    "run.no-room": Code(
        "an upload cannot be stored: {problem}",
        "make room on the disk of the server, then upload",
        "RESOURCE_EXHAUSTED",
    ),
    "run.no-uploads": Code("run {handle} takes no uploads", "wait for its next run"),
    "run.no-schedule": Code("{file} has no schedule", "add one to [validity], or run it by hand (pets run)"),
    "run.no-spec": Code("no specification {digest} was submitted here", "submit it first", "NOT_FOUND"),
    "run.digest": Code(
        "{digest} is no digest, nor the beginning of one: {problem}", "copy it from the list of pets pending"
    ),
    "run.two-specs": Code("{count} specifications begin with {digest}", "write more digits of the digest"),
    # -- log: this party's own record was touched ---------------------------------------------------------------------
    "log.entry": Code(
        "log entry {seq} is bad: {problem}",
        "keep the file, restore a copy and hold it against receipts (pets party log)",
    ),
    "log.head": Code(
        "the log does not continue the head that was signed: entry {seq} {problem}",
        "keep the file; restore a later copy, or lower the limits in policy.toml by what is gone, before you serve",
    ),
    "log.file": Code(
        "the log cannot be read: {problem}",
        "keep the file, restore a copy and hold it against receipts (pets party log)",
    ),
    # -- config: policy and keys --------------------------------------------------------------------------------------
    "config.file": Code(
        "file {file}: {problem}", "check the path, or name the file by --config, --directory or --client"
    ),
    "config.exists": Code("{file} is there already, and nothing is replaced", "choose a new folder, or move it away"),
    "config.in-use": Code("another server uses the folder {folder}", "stop it first, or name another state folder"),
    "config.toml": Code("{file}: {path}: {problem}", "mend the line that is named", "INVALID_ARGUMENT"),
    "config.permissions": Code(
        "{file} has mode {mode}: others than its owner can get at it", "chmod go-rwx it, or make a new key"
    ),
    "config.request": Code("the request for a certificate: {problem}", "name tls/request.pem of the party's folder"),
    "config.name": Code("{name} is no name of a party", "begin with a small letter; go on with these, digits, - and _"),
    "config.san": Code("{san} is no name of a party", "write it as spiffe://organisation.example/pets"),
    "config.certificate": Code("certificate {what}: {problem}", "ask the CA of the consortium for a new one"),
    "config.directory": Code("directory {file}: {problem}", "mend directory.toml", "INVALID_ARGUMENT"),
    "config.policy": Code("{file}: {path}: {problem}", "mend the policy", "INVALID_ARGUMENT"),
    "config.no-approver": Code(
        "{file} is not the key of an approver of {party} in directory.toml",
        "add the approver to policy.toml and directory.toml, or give --name",
    ),
    "config.output": Code("output {file}: {problem}", "choose another name or folder with --out"),
    "config.unsafe-policy": Code("a server of {party} does not run under UnsafeAllowAll", "write a policy.toml"),
    "config.key": Code("{what} is no Ed25519 key: {problem}", "make one with pets keygen", "INVALID_ARGUMENT"),
    "config.key-file": Code("key file {file}: {problem}", "{advice}"),
    "config.local": Code("{problem}", "change what local_network or draft is given"),
    "config.sodium": Code(
        "cannot load libsodium: {problem}",
        "install rbcl as constraints.txt pins it, and let TMPDIR be a folder that programs may be loaded from",
    ),
    "config.files": Code("{file}: {problem}", "{advice}"),
    "config.state": Code("state file {file}: {problem}", "{advice}"),
    # -- receipt: the evidence of a run -------------------------------------------------------------------------------
    "receipt.unreadable": Code("{file} cannot be read: {problem}", "fetch the evidence of the run again"),
    "receipt.none": Code(
        "{file} is no receipt: {problem}", "name the folder of evidence, or a file of its folder receipts"
    ),
    "receipt.none-own": Code(
        "no receipt of {party} is among those given, {count} in all",
        "ask those who received tables of {party} for their folders of evidence",
    ),
    "receipt.own": Code(
        "{file}, in the name of {party}, does not count: {problem}",
        "ask who sent it for the file as {party} signed it, or leave it out",
    ),
    "receipt.signature": Code("receipt of {party}: {problem}", "fetch the receipt from {party} again"),
    "receipt.statement": Code("receipt of {party} is not a receipt: {problem}", "fetch the receipt from {party} again"),
    "receipt.other-party": Code(
        "a receipt in the name of {party} was signed by {signer}", "ask {party} for its receipt"
    ),
    "receipt.no-key": Code("no public key of {party} to check with", "add {party} to directory.toml"),
    "receipt.missing": Code("no receipt of {party}", "fetch the receipt from {party}"),
    "receipt.stray": Code("{file} belongs to no party of the specification", "remove it, or look where it came from"),
    "receipt.spec-differs": Code(
        "{file} has digest {got}, and {party} signed {expected}", "use the specification that ran"
    ),
    "receipt.plan-differs": Code("{file} has digest {got}, and {party} signed {expected}", "use the plan that ran"),
    "receipt.other-plan": Code(
        "plan.json is not what this software makes of spec.toml", "verify with the version that the receipts name"
    ),
    "receipt.differs": Code("{party} and {other} signed different values of {what}", "ask both parties for their logs"),
    "receipt.contributors": Code(
        "receipt of {party}, who took part: {problem}", "ask the computing parties for their logs"
    ),
    "receipt.dates": Code("receipt of {party}: {problem}", "ask {party} for its log"),
    "receipt.commitment": Code("receipt of {party}: {problem}", "ask {party} for its receipt"),
    "receipt.spend": Code(
        "receipt of {party}: {dataset} was charged {got}, the specification says {expected}", "ask {party}"
    ),
    "receipt.approval-missing": Code(
        "{party} names an approval with digest {digest} that is not here", "fetch it from {party}"
    ),
    "receipt.approval": Code("{file}, an approval of {party}: {problem}", "fetch it from {party} again"),
    "receipt.cover": Code("covering/spec.toml: {problem}", "use the folder that pets run wrote, or ask {party}"),
    "receipt.unapproved": Code("no valid approval of {party} is here", "fetch the approvals from {party}"),
    "receipt.share-missing": Code("no share of {party} is here", "use the folder that pets run wrote"),
    "receipt.share-size": Code(
        "share of {party} has {got} bytes, its receipt says {expected}", "use what pets run wrote"
    ),
    "receipt.share-differs": Code(
        "share of {party}: {message} is not what {party} signed", "use the folder that pets run wrote"
    ),
    "receipt.other-version": Code(
        "{file} is not what version {own} computes from the shares; the run was made by version {got}",
        "verify it with version {got}",
    ),
    "receipt.result-differs": Code("{file} is not what the shares add up to", "use the file that pets run wrote"),
    # -- audit: what released tables tell together ---------------------------------------------------------------------
    "audit.too-close": Code(
        "withheld cells of {table} follow more closely than its disclosure control says",
        "release none of these tables further; declare known_totals, or ask for fewer divisions of the same people",
    ),
    "audit.implied": Code(
        "a group that is too small to be shown follows from {tables} together",
        "release none of these tables further; ask about the same people, or about others",
    ),
    "audit.contradiction": Code(
        "no records have all of these tables", "audit only tables of the same records together, as they were released"
    ),
    "audit.size": Code(
        "the tables divide people into {size} groups together; at most {limit} are audited",
        "audit fewer tables at a time, those that share dimensions",
    ),
    "audit.table": Code("{file}: {problem}", "use the files that pets run wrote"),
    "audit.noised": Code(
        "{file} is a release with noise, from which no count follows", "leave it out: its ledger is its audit"
    ),
    "audit.having": Code(
        "the table in {file} leaves out rows by HAVING, of which nobody can say whether they were withheld",
        "audit a release without HAVING: the result party was sent those rows all the same",
    ),
    "audit.known": Code("{file}: {problem}", "write a column for each grouping (dataset.column), then rows or people"),
    "audit.apart": Code(
        "{file}: {problem}", "audit it by itself, or together with tables of the same two datasets only"
    ),
    # -- statistics: what is asked of a released table does not follow from it ----------------------------------------
    "statistics.column": Code("{name} {problem}", "name a column or a level as it is in the table"),
    "statistics.shape": Code(
        "{what} takes {wanted}; here is {got}", "choose the levels that take part with levels=, other columns' with at="
    ),
    "statistics.withheld": Code(
        "{what} needs {count} counts that are withheld or left out: {cells}",
        "take other levels with levels=, or release coarser groups",
    ),
    "statistics.undetermined": Code("{what} is not determined: {problem}", "take larger groups, or more epsilon"),
    "statistics.file": Code(
        "the table in {file} is not the one of its specification", "use the files that pets run wrote"
    ),
    # -- source: the input party's own records do not fit; rows and counts stay on its own console --------------------
    "source.none": Code("{party} has no source for dataset {dataset}", "name it under [datasets] in party.toml"),
    "source.not-ready": Code("the records of {party} are not ready", "ask {party} to look at its own console"),
    "source.unreadable": Code(
        "dataset {dataset}: its source cannot be read", "look at the console of the party that holds it"
    ),
    "source.database": Code(
        "dataset {dataset}: its database cannot be read", "look at the console of the party that holds it"
    ),
    "source.column": Code(
        "dataset {dataset}: its source has no column {column}",
        "name the source's own column under columns of this dataset in party.toml",
    ),
    "source.column-twice": Code(
        "dataset {dataset}: more than one column of its source could be {column}",
        "name the one that is meant, with its exact capitals, under columns of this dataset in party.toml",
    ),
    "source.type": Code(
        "dataset {dataset}, column {column}: there are values that are not of its type",
        "mend the rows named on the console of the party that holds it, or the type in the specification",
    ),
    "source.id": Code(
        "dataset {dataset}, column {column}: there are malformed identifiers",
        "mend the rows named on the console of the party that holds it, or add a step to linkage.normalise",
    ),
    "source.rows-per-person": Code(
        "dataset {dataset}: there are people with more than max_rows_per_person rows",
        "raise max_rows_per_person, or set truncate = true to keep a random choice of their rows",
    ),
    "source.level": Code(
        "dataset {dataset}, column {column}: there are values that are no declared level",
        "declare the level, or recode the rows named on the console of the party that holds it",
    ),
    "source.range": Code(
        "dataset {dataset}, column {column}: there are values outside min and max",
        "widen the range, or set clamp = true to move such values to its ends",
    ),
    "source.null": Code(
        "dataset {dataset}, column {column}: it is required, and there are rows without it",
        "take required away, or fill the rows named on the console of the party that holds it",
    ),
    "source.max-rows": Code("dataset {dataset}: there are more rows than max_rows", "raise max_rows, or bring less"),
    "source.program-rows": Code(
        "dataset {dataset}: not exactly {rows} rows take part, and the program takes so many",
        "bring as many rows as the specification says, or write another number into it",
    ),
    "source.sum": Code(
        "dataset {dataset}: a sum over its rows is outside of what the specification lets one holder bring",
        "look at the console of the party that holds it; its records, or ranges in the specification, are wrong",
    ),
    "source.snapshot": Code(
        "dataset {dataset}: the snapshot is not the one that was committed to", "take a new snapshot, then start again"
    ),
    "source.unwritable": Code(
        "dataset {dataset}: its snapshot cannot be written", "make room in the state folder and check its owner"
    ),
    # -- internal: ours -----------------------------------------------------------------------------------------------
    "plan.matrix-differs": Code(
        "the plan discloses something else than was approved: {cells}", "report this; nothing was run", "INTERNAL"
    ),
    "plan.noise": Code("{column}: {problem}", "report this; nothing was run", "INTERNAL"),
    "plan.sizes": Code(
        "{name} is {got}, the specification gives {expected}", "report this; nothing was run", "INTERNAL"
    ),
    "plan.checkers-differ": Code(
        "two checkers come to different results, in {count} places: {cells}", "report this; nothing was run", "INTERNAL"
    ),
    "plan.terms": Code("card {card}: its terms {problem}", "report this; nothing was run", "INTERNAL"),
    "plan.wiring": Code(
        "{field} of the plan does not follow from the specification", "report this; nothing was run", "INTERNAL"
    ),
    "internal.gate": Code(
        "message {label} {problem}; nothing was sent", "report this: the code does not follow its card", "INTERNAL"
    ),
    "internal.wrong-array": Code("an array is {got}, the card says {expected}", "report this", "INTERNAL"),
    "internal.big-endian": Code(
        "this host stores numbers big-endian", "run the party on a little-endian host", "INTERNAL"
    ),
    "internal.scalar": Code("a secret scalar is 0 or not below the order of the group", "report this", "INTERNAL"),
    "internal.data": Code("{file}, which belongs to the demonstration, is missing", "install pets again", "INTERNAL"),
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

    prefixes = ("leak.", "dp.")


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


class AuditError(PetsError):
    """Released tables tell more than their policy says, or cannot be audited."""

    prefixes = ("audit.",)


class StatisticsError(PetsError):
    """A statistic does not follow from what was released."""

    prefixes = ("statistics.",)


class ConfigError(PetsError):
    """A file of this party's own deployment is wrong: party.toml, policy.toml, directory.toml, keys."""

    prefixes = ("config.",)


class LogError(PetsError):
    """This party's own log was altered, cut or cannot be read."""

    prefixes = ("log.",)


class InternalError(PetsError):
    """Ours; no input, file or peer can cause it."""

    prefixes = ("internal.", "plan.")


def public_code(error: PetsError) -> str:
    """What others are told of an error: its code, but of records never which of all things is wrong with them."""
    return "source.not-ready" if isinstance(error, SourceError) else error.code


def catalogue() -> str:
    """All codes as a page for people: ``docs/errors.md``, by the class that carries them."""
    kinds: list[type[PetsError]] = list(PetsError.__subclasses__())
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    lines = [
        "# Errors",
        "",
        "Every refusal has a code of this list; nothing else is ever said to a caller. Words in braces are filled in:",
        "names, public sizes and digests, never a record, an identifier or a number computed from records. This page",
        "is made from `pets/errors.py` by `python -m pets.errors`; a test holds the two together.",
    ]
    for kind in kinds:
        codes = {code: said for code, said in CODES.items() if code.startswith(kind.prefixes)}
        lines += ["", f"## {kind.__name__}", "", (kind.__doc__ or "").strip().splitlines()[0], ""]
        lines += ["| code | text | what to do | gRPC status |", "|---|---|---|---|"]
        lines += [
            f"| `{code}` | {_cell(said.text)} | {_cell(said.hint)} | {said.status} |" for code, said in codes.items()
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(catalogue(), end="")
