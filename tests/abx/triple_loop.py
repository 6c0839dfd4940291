"""The ABX test as three nested loops over items, with exact comparisons: what the fast counts must equal."""

from collections import defaultdict
from fractions import Fraction


def cosine_order(vectors):
    """Function (x, a, b) -> -1, 0, 1 as a is nearer to x than b, as near, or farther; vectors of integers, exact."""

    def similarity(x, item):
        product = sum(int(u) * int(v) for u, v in zip(vectors[x], vectors[item], strict=True))
        square = Fraction(product * product, sum(int(v) ** 2 for v in vectors[item]))
        return square if product > 0 else -square

    return lambda x, a, b: compare(similarity(x, b), similarity(x, a))


def euclidean_order(vectors):
    def square(x, item):
        return sum((int(u) - int(v)) ** 2 for u, v in zip(vectors[x], vectors[item], strict=True))

    return lambda x, a, b: compare(square(x, a), square(x, b))


def matrix_order(distances):
    return lambda x, a, b: compare(distances[x][a], distances[x][b])


def compare(left, right):
    return (left > right) - (left < right)


def triples(attributes, on, by=(), across=(), differ=(), min_gap_s=0):
    """(cell, a, b, x) of all triples; a cell is (on_a, on_b, values of by, of across of A and B, of across of X)."""
    columns = {name: list(values) for name, values in attributes.items()}

    def row(names, item):
        return tuple(columns[name][item] for name in names)

    def near(x, other):
        if not min_gap_s or columns["recording"][x] != columns["recording"][other]:
            return False
        first, second = sorted((x, other), key=lambda item: columns["start_s"][item])
        return columns["start_s"][second] - columns["end_s"][first] < min_gap_s

    n = len(columns[on])
    for x in range(n):
        for a in range(n):
            if a == x or columns[on][a] != columns[on][x] or near(x, a):
                continue
            for b in range(n):
                if columns[on][b] == columns[on][x] or near(x, b):
                    continue
                shared = row(by, a) == row(by, b) == row(by, x) and row(across, a) == row(across, b)
                crossed = all(columns[name][a] != columns[name][x] for name in across)
                distinct = all(len({columns[name][item] for item in (a, b, x)}) == 3 for name in differ)
                if shared and crossed and distinct:
                    yield (columns[on][a], columns[on][b], row(by, a), row(across, a), row(across, x)), a, b, x


def cells(order, attributes, on, groups=None, weights=None, **conditions):
    """{cell: (right triples, triples)}; weighted by the product of the weights of the distinct groups of a triple."""
    found = defaultdict(lambda: [Fraction(0), 0])
    for cell, a, b, x in triples(attributes, on, **conditions):
        weight = 1
        for group in {groups[item] for item in (a, b, x)} if groups is not None else ():
            weight *= weights[group]
        found[cell][0] += weight * {-1: Fraction(1), 0: Fraction(1, 2), 1: Fraction(0)}[order(x, a, b)]
        found[cell][1] += weight
    return dict(found)


def score(found):
    """Mean over cells, then over pairs of values; cells of weight zero are left out."""
    of_pair = defaultdict(list)
    for (on_a, on_b, *_), (right, total) in found.items():
        if total:
            of_pair[on_a, on_b].append(right / total)
    means = [sum(scores) / len(scores) for scores in of_pair.values()]
    return float(sum(means) / len(means)) if means else None


def dtw(costs):
    """Cheapest path through a table of frame distances over its length; of equally cheap ones the shortest."""
    best = {}
    for i, line in enumerate(costs):
        for j, cost in enumerate(line):
            before = [best[k] for k in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if k in best] or [(0, 0)]
            total, length = min(before)
            best[i, j] = total + cost, length + 1
    total, length = best[len(costs) - 1, len(costs[0]) - 1]
    return total / length
