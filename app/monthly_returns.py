"""Monthly returns of an equity curve, and their table of years and months as HTML."""

from __future__ import annotations

from calendar import month_abbr

import pandas as pd

from app import formats

_FULL_COLOUR = 45.0
"""Strength of the colour of the largest return, in percent; the text on it stays readable."""


def monthly_returns(curve: pd.DataFrame) -> pd.DataFrame:
    """Returns of the months of one part: year, month, return_pct; the first and the last month may be incomplete.

    Args:
        curve: time (close of the row's last candle), equity (1.0 at the start), in order of time.
    """
    if curve.empty:
        return pd.DataFrame({"year": [], "month": [], "return_pct": []})
    # The candle that closes at midnight of the first belongs to the month before.
    day = curve.time - pd.Timedelta(milliseconds=1)
    last = curve.equity.groupby([day.dt.year.rename("year"), day.dt.month.rename("month")]).last()
    return (100 * (last / last.shift(1, fill_value=1.0) - 1)).rename("return_pct").reset_index()


def yearly_returns(months: pd.DataFrame) -> dict[int, float]:
    """Year -> return in percent, compounded from the rows of `monthly_returns`."""
    growth = (1 + months.return_pct / 100).groupby(months.year).prod()
    return {int(year): 100 * (float(one) - 1) for year, one in zip(list(growth.index), growth, strict=True)}


def _cell(value: float | None, reach: float) -> str:
    if value is None or formats.is_missing(value):
        return "<td></td>"
    tone = "up" if value > 0 else "down"
    strength = _FULL_COLOUR * min(abs(value) / reach, 1.0) if reach else 0.0
    long, short = (formats.signed_percent(value, digits).removesuffix(" %") for digits in (1, 0))
    return (
        f'<td style="background:color-mix(in srgb, var(--{tone}) {strength:.0f}%, transparent)">'
        f'<span class="long">{long}</span><span class="short">{short}</span></td>'
    )


def month_table(months: pd.DataFrame) -> str:
    """HTML of the returns by year and month in percent, coloured, with the year's return; short on a phone."""
    cells_of = zip(months.year, months.month, months.return_pct, strict=True)
    by_cell = {(int(year), int(month)): float(value) for year, month, value in cells_of}
    reach = max((abs(value) for value in by_cell.values()), default=0.0)
    names = "".join(
        f'<th><span class="long">{month_abbr[month]}</span><span class="short">{month_abbr[month][0]}</span></th>'
        for month in range(1, 13)
    )
    rows = []
    for year, total in sorted(yearly_returns(months).items()):
        cells = "".join(_cell(by_cell.get((year, month)), reach) for month in range(1, 13))
        rows.append(f"<tr><th>{year}</th>{cells}{_cell(total, 0.0)}</tr>")
    head = f'<tr><th></th>{names}<th><span class="long">Year</span><span class="short">Σ</span></th></tr>'
    return f'<div class="cw-months"><table>{head}{"".join(rows)}</table></div>'
