"""Flower's SecAgg+ in one process: run by ``benchmarks.aggregate`` with an interpreter that has ``flwr``.

``python flower_secagg.py CLIENTS VALUES`` prints one JSON object: ``name``, ``clients``, ``values`` of each, ``server``
seconds, ``client`` seconds (the median of one client, all stages), ``ok``. Flower's own workflow drives Flower's own
client mod; the grid between them calls it, so there is no network, no serialisation and no second process, and all
messages of a stage are in memory at once. A client's training is a constant. 51 neighbours each (fewer, if there are
fewer clients), 26 of which unmask it; nobody drops out, which is Flower's fastest way. Values are floats of its own
quantisation, 2^22 levels modulo 2^32; ``ok`` is that the average is right to that precision.
"""

import copy
import json
import logging
import statistics
import sys
import time

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat as compat
from flwr.server.client_manager import SimpleClientManager
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.server_config import ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow
from flwr.supercore.task_identity import TaskIdentity

NEIGHBOURS = 51
THRESHOLD = 26


def _context(number):
    return Context(run_id=1, node_id=number, node_config={}, state=RecordDict(), run_config={}, series_id=1)


class Proxy:
    """What the workflow asks of a client: its number."""

    def __init__(self, number):
        self.node_id, self.cid = number, str(number)


class Everybody(FedAvg):
    """FedAvg over all clients, which need not be sampled."""

    def __init__(self, proxies):
        super().__init__()
        self._proxies = proxies

    def configure_fit(self, server_round, parameters, client_manager):
        return [(proxy, FitIns(parameters, {})) for proxy in self._proxies]


class InProcess:
    """A grid that calls the mod of each client, and keeps the time that it takes."""

    def __init__(self, clients, values):
        self.contexts = {n: _context(n) for n in range(1, clients + 1)}
        self.values, self.seconds = values, dict.fromkeys(self.contexts, 0.0)
        self.total = np.zeros(values)

    def send_and_receive(self, messages, *, timeout=None):
        return [self._answer(message) for message in messages]

    def _answer(self, message):
        node, message.content = message.metadata.dst_node_id, copy.deepcopy(message.content)  # as if it had travelled
        begun = time.perf_counter()
        reply = secaggplus_mod(message, self.contexts[node], lambda m, c: self._trained(m, node))
        self.seconds[node] += time.perf_counter() - begun
        reply.metadata._src_node_id = node
        return reply

    def _trained(self, message, node):
        own = np.random.default_rng(node).uniform(-4, 4, self.values).astype(np.float32)
        self.total += own
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([own]), 1, {})
        return Message(compat.fitres_to_recorddict(result, False), reply_to=message)


def main():
    clients, values = int(sys.argv[1]), int(sys.argv[2])
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
    logging.getLogger("flwr").setLevel(logging.ERROR)
    context = LegacyContext(
        _context(0),
        config=ServerConfig(num_rounds=1),
        strategy=Everybody([Proxy(n) for n in range(1, clients + 1)]),
        client_manager=SimpleClientManager(),
    )
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
    empty = ndarrays_to_parameters([np.zeros(1, np.float32)])
    context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(empty, True)
    shares = min(NEIGHBOURS, clients - 1 - clients % 2)
    grid = InProcess(clients, values)
    workflow = SecAggPlusWorkflow(shares, min(THRESHOLD, shares - 1), clipping_range=8.0, max_weight=1)
    begun = time.perf_counter()
    workflow(grid, context)
    whole = time.perf_counter() - begun
    arrays = compat.arrayrecord_to_parameters(context.state.array_records[MAIN_PARAMS_RECORD], True)
    found = parameters_to_ndarrays(arrays)[0]
    ok = found.size == values and bool(np.allclose(found, grid.total / clients, atol=1e-3))
    told = {"name": "secagg+", "clients": clients, "values": values, "server": whole - sum(grid.seconds.values())}
    told |= {"client": statistics.median(grid.seconds.values()), "ok": ok}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
