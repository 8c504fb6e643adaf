"""MPyC, imported without what it does when it is imported.

MPyC 0.11 reads the command line, sets up logging to standard output, changes the environment and makes a runtime of its
own, unless it takes itself to be read for documentation. So that is what it is told, for as long as the import takes.
Lines that it logs would set up logging, too, where nobody has.
"""

import logging
import os
from typing import Final

_ASKED: Final = "READTHEDOCS"
_before: Final = os.environ.get(_ASKED)
_nothing: Final = logging.NullHandler()
os.environ[_ASKED] = "True"
logging.root.addHandler(_nothing)
try:
    import mpyc
    from mpyc import asyncoro, finfields, mpctools, random, runtime, secgroups, seclists, secpols, sectypes, statistics
    from mpyc import thresha as thresha
finally:
    logging.root.removeHandler(_nothing)
    if _before is None:
        del os.environ[_ASKED]
    else:
        os.environ[_ASKED] = _before

VERSION: Final[str] = mpyc.__version__
MODULES: Final = (sectypes, asyncoro, mpctools, seclists, secpols, secgroups, random, statistics)
"""Those that know the runtime by a name of their own."""

__all__ = ["MODULES", "VERSION", "asyncoro", "finfields", "runtime", "sectypes", "thresha"]
