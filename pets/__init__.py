"""Privacy-preserving computation between organisations that may not pool their records.

    import pets
    net = pets.local_network({"nhs": {"attendances": frame}, "council": {"housing": other}, "helper": {}})
    result = net.run(net.draft("SELECT tenure, COUNT(*) AS n FROM attendances JOIN housing USING (id) GROUP BY tenure"))
    result.to_pandas()

``local_network`` plays all parties in this process; ``connect`` reaches real party servers. Both give the same network
and the same ``Result``. Nothing is imported before it is asked for: a party server never loads what draws charts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pets.errors import PetsError
    from pets.local import local_network
    from pets.network import Draft, Network
    from pets.plan.review import review
    from pets.programs import run_program
    from pets.remote import connect
    from pets.result import Result
    from pets.spec.parse import read_spec
    from pets.spend import ledger

__version__: Final = "0.1.0"

__all__ = [
    "Draft",
    "Network",
    "PetsError",
    "Result",
    "connect",
    "ledger",
    "local_network",
    "read_spec",
    "review",
    "run_program",
]

_HOMES: Final = {
    "Draft": "pets.network",
    "Network": "pets.network",
    "PetsError": "pets.errors",
    "Result": "pets.result",
    "connect": "pets.remote",
    "ledger": "pets.spend",
    "local_network": "pets.local",
    "read_spec": "pets.spec.parse",
    "review": "pets.plan.review",
    "run_program": "pets.programs",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pets' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
