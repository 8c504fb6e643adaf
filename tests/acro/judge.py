"""ACRO's verdicts on clear tables: one JSON request a line in, one JSON answer a line out.

Runs under the interpreter of ACRO's own environment and imports nothing of ours. A request is a table of cells, each a
list of records (a value or null, or just how many records there are), and the parameters of ``acro/default.yaml``:

    {"threshold": 10, "zeros": true, "nk": [2, 0.9], "p": 0.1, "base": 5, "counts": [[3, 12], [0, 15]]}
    {"threshold": 10, ..., "values": [[[1.5, null], []]], "of": "mean"}

The answer: for each check the cells that it holds to be disclosive, as [row, column], ACRO's status, and the table,
rounded where a base is given (null where a cell has no records).
"""

import json
import logging
import sys

import acro
import pandas as pd

OFF = {"nk": [2, 2.0], "p": 0.0}
"""Parameters at which dominance finds nothing: no two contributions are twice the total, no rest is below nothing."""


def answer(asked: dict) -> dict:
    session = acro.ACRO()
    (n, k), p = asked.get("nk") or OFF["nk"], asked.get("p") or OFF["p"]
    session.config.update(
        safe_threshold=asked["threshold"],
        zeros_are_disclosive=asked["zeros"],
        safe_nk_n=n,
        safe_nk_k=k,
        safe_pratio_p=p,
    )
    if asked.get("base"):
        session.mitigation, session.round_base = "round", asked["base"]
    cells = asked.get("values") or [[[1] * count for count in row] for row in asked["counts"]]
    places = [(r, c, value) for r, row in enumerate(cells) for c, cell in enumerate(row) for value in cell]
    index = series("row", [r for r, _, _ in places], len(cells))
    columns = series("column", [c for _, c, _ in places], len(cells[0]))
    if "values" in asked:
        values = pd.Series([value for _, _, value in places], name="value", dtype=float)
        table = session.crosstab(index, columns, values=values, aggfunc=asked.get("of", "sum"))
    else:
        table = session.crosstab(index, columns)
    found = session.results.results["output_0"]
    numbers = [[None if pd.isna(number) else float(number) for number in row] for row in table.to_numpy().tolist()]
    return {"cells": found.sdc["cells"], "status": found.fair["check_status"], "table": numbers}


def series(name: str, codes: list, size: int) -> pd.Series:
    return pd.Series(pd.Categorical.from_codes(codes, categories=range(size)), name=name)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
