"""Transforms and values elsewhere, against sums over all coefficients."""

import random

import pytest

from pets.kernels import prime
from pets.kernels.polynomials import Nodes, between, coefficients, evaluations, lagrange
from pets.kernels.prime import FIELD64, FIELD128, Prime

BOTH = pytest.mark.parametrize("field", [FIELD64, FIELD128], ids=lambda field: field.name)


def value(polynomial: list[int], x: int, p: int) -> int:
    return sum(c * pow(x, i, p) for i, c in enumerate(polynomial)) % p


def some(field: Prime, count: int, seed: int) -> list[int]:
    numbers = random.Random(seed)
    return [numbers.randrange(field.modulus) for _ in range(count)]


@BOTH
@pytest.mark.parametrize("order", [1, 2, 4, 8, 32, 128])
def test_values_at_the_nodes_and_back(field: Prime, order: int) -> None:
    p, nodes, polynomial = field.modulus, Nodes(field, order), some(field, order, order)
    root, finer = field.root(order), field.root(2 * order)
    values = field.array([value(polynomial, pow(root, k, p), p) for k in range(order)])
    assert field.integers(evaluations(nodes, field.array(polynomial))) == field.integers(values)
    assert field.integers(coefficients(nodes, values)) == polynomial
    expected = [value(polynomial, pow(finer, 2 * k + 1, p), p) for k in range(order)]
    assert field.integers(between(nodes, values)) == expected


def weights(field: Prime, nodes: Nodes, order: int, x: int) -> tuple[int, list[int]]:
    scaled = field.array([x], scaled=True)
    point = scaled[0] if field.words == 1 else tuple(scaled[0])
    out = field.empty(2 * order)
    bad = lagrange(point, order, nodes.roots, Nodes(field, order).share, nodes.one, prime.exponent(field), out)
    return bad, field.integers(prime.multiplied(out[:order], field.array([1] * order)))


@BOTH
@pytest.mark.parametrize("order", [1, 2, 16, 64])
def test_weights_give_the_value_anywhere(field: Prime, order: int) -> None:
    p, nodes, polynomial = field.modulus, Nodes(field, order), some(field, order, 3)
    root = field.root(order)
    values = [value(polynomial, pow(root, k, p), p) for k in range(order)]
    for x in [0, p - 2, *some(field, 3, order)]:
        bad, made = weights(field, nodes, order, x)
        assert bad == 0
        assert sum(w * v for w, v in zip(made, values, strict=True)) % p == value(polynomial, x, p)


@BOTH
def test_a_point_that_is_a_node_is_told_and_has_all_the_weight(field: Prime) -> None:
    p, order = field.modulus, 8
    nodes = Nodes(field, order)
    for k in range(order):
        bad, made = weights(field, nodes, order, pow(field.root(order), k, p))
        assert (bad, made) == (1, [int(i == k) for i in range(order)])
    finer = Nodes(field, 2 * order)
    between_nodes = pow(field.root(2 * order), 3, p)
    assert weights(field, finer, order, between_nodes)[0] == 0  # every second root is a node, this one is not
    assert weights(field, finer, 2 * order, between_nodes)[0] == 1
