"""Which made call stands for which expected one: as many pairs that fit as there can be."""

from collections.abc import Sequence

Fits = Sequence[Sequence[bool]]
"""Whether the made call of a row fits the expected call of a column: [made, expected]."""

Pair = tuple[int, int]
"""Made, expected."""


def most_pairs(fits: Fits) -> list[Pair]:
    """A maximum matching whatever the order: the rows and columns paired, each at most once."""
    if not fits or not fits[0]:
        return []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    weights = np.array(fits, dtype=np.int8)  # [made, expected]
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if weights[row, column]]


def most_pairs_in_order(fits: Fits) -> list[Pair]:
    """The longest common subsequence: pairs that fit, none of which crosses another."""
    made, expected = len(fits), len(fits[0]) if fits else 0
    # longest[i][j]: the most pairs among the made calls from i on and the expected ones from j on.
    longest = [[0] * (expected + 1) for _ in range(made + 1)]
    for i in reversed(range(made)):
        for j in reversed(range(expected)):
            skipped = max(longest[i + 1][j], longest[i][j + 1])
            longest[i][j] = max(skipped, 1 + longest[i + 1][j + 1]) if fits[i][j] else skipped
    pairs, i, j = [], 0, 0
    while i < made and j < expected:
        if fits[i][j] and longest[i][j] == 1 + longest[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
