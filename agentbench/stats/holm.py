"""p-values of several metrics of one comparison, adjusted together."""

from collections.abc import Mapping


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979): below α for any of the metrics
    without a difference with a probability of at most α, however they depend on each other."""
    if not p_values:
        return {}
    # A slow import, of which only a comparison has need.
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}
