"""Picture of a table: curves where its axis is a number, else a dot with its interval for each row."""

import textwrap
from pathlib import Path


def plot_table(rows: list[dict], title: str, axis: str, path: Path, unit: str = "WER (%)"):
    """Draw the averages of a table.

    Args:
        rows: ``{label, x, value, low, high}``; ``x`` is None where the axis is no number, ``low`` where there is no
            interval.
        unit: of the values.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    if any(row["x"] is None for row in rows):
        labels = [textwrap.fill(row["label"], 36) for row in rows]
        values = [row["value"] for row in rows]
        axes.errorbar(values, range(len(rows)), xerr=spans(rows), fmt="o", capsize=3)
        axes.set_yticks(range(len(rows)), labels)
        axes.invert_yaxis()
        axes.grid(axis="y", alpha=0.3)
        axes.set_xlabel(unit)
    else:
        curves: dict[str, list[dict]] = {}
        several = len({row["x"] for row in rows}) < len(rows)  # then the labels name curves
        for row in rows:
            curves.setdefault(row["label"] if several else "", []).append(row)
        for label, points in curves.items():
            points = sorted(points, key=lambda row: row["x"])
            x, y = ([row[name] for row in points] for name in ("x", "value"))
            axes.errorbar(x, y, yerr=spans(points), marker="o", capsize=3, label=label or None)
        if several:
            axes.legend()
        axes.set_xlabel(axis)
        axes.set_ylabel(unit)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def spans(rows: list[dict]) -> list[list[float]]:
    """Distances from the values down to the lower and up to the upper ends of their intervals."""
    ends = [
        (row["value"], row["value"]) if row["low"] is None else (row["low"], row["high"])
        for row in rows
    ]
    return [
        [row["value"] - low for row, (low, _) in zip(rows, ends, strict=True)],
        [high - row["value"] for row, (_, high) in zip(rows, ends, strict=True)],
    ]
