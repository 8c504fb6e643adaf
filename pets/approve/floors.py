"""Floors of disclosure control: what a party asks of every release without noise, held against what holds for one."""

from collections.abc import Iterator
from dataclasses import replace

from pets.check.budget import exact
from pets.check.labels import Finding
from pets.spec.control import Control, strictest

PATH = "release.disclosure_control"


def below(floor: Control, control: Control, *, party: str) -> Iterator[Finding]:
    """One finding for each knob on which ``floor`` and ``control`` together are stricter than ``control`` is."""
    try:
        both = strictest([control, floor])
    except ValueError:
        message = f"{party} rounds to {_rounding(floor)}, which cannot hold beside {_rounding(control)}"
        yield _error("rounding", "rounding", message, f'write rounding = "{floor.rounding}"')
        both = strictest([control, replace(floor, round_to=1)])
    if both.min_count != control.min_count:
        message = f"groups from {control.min_count} people on would be released, {party} allows {floor.min_count}"
        yield _error("min-count", "min_count", message, f"raise min_count to {floor.min_count}")
    if both.zeros != control.zeros:
        message = f"empty groups would be shown as 0, and {party} does not show them"
        yield _error("zeros", "zeros", message, 'write zeros = "hidden"')
    if both.round_to != control.round_to:
        message = f"counts are rounded to {_rounding(control)}, and {party} rounds to {_rounding(floor)}"
        hint = f'write round_to = {both.round_to} and rounding = "{both.rounding}"'
        yield _error("rounding", "round_to", message, hint)
    if both.dominance != control.dominance:
        lacking = [
            f"{{ largest = {n}, percent = {exact(k * 100)} }}" for n, k in set(both.dominance) - set(control.dominance)
        ]
        message = f"{party} withholds more of the sums that a few people dominate"
        yield _error("dominance", "dominance", message, f"add to dominance: {', '.join(sorted(lacking))}")
    if both.p_percent is not None and both.p_percent != control.p_percent:
        percent = exact(both.p_percent * 100)
        message = f"{party} withholds sums from which the largest contribution follows to within {percent} %"
        yield _error("p-percent", "p_percent", message, f"write p_percent = {percent}")
    for name, step in both.steps:
        if step != dict(control.steps).get(name):
            message = f"{party} rounds values of {name} to {exact(dict(floor.steps)[name])}"
            hint = f'write round_values_to = {{ "{name}" = "{exact(step)}" }}'
            yield _error("values", "round_values_to", message, hint)
    if both.local != control.local:
        message = f"in every released group the people of {party} itself have to reach the minimum"
        hint = f'add [[{PATH}.holder]] with party = "{party}" and appetite = "local"'
        yield _error("appetite", "holder", message, hint)


def _error(rule: str, field: str, message: str, hint: str) -> Finding:
    return Finding(f"policy.{rule}", "error", f"{PATH}.{field}", message, hint)


def _rounding(control: Control) -> str:
    if control.round_to == 1:
        return "nothing"
    return f"{'midpoints' if control.rounding == 'midpoint' else 'multiples'} of {control.round_to}"
