"""A made-up published snapshot with the shape of a real one: three markets, three timeframes, about 200 test cases.

Prices are geometric random walks. Some series have a champion, the others are served by the baseline; there are gaps,
failed cases, late forecasts and quarantined rows, so that every page has something to show. All derives from a seed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import synthetic_analysis
import synthetic_promotion
import synthetic_trading
from filelock import FileLock

END = pd.Timestamp("2024-04-21 12:00")
MARKETS = {"BTC/USDT": 64_000.0, "ETH/USDT": 3_150.0, "DOGE/USDT": 0.1587}
TIMEFRAMES = {"1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
CASES = {"1h": 32, "4h": 22, "1d": 14}
CHAMPIONS = {("BTC/USDT", "1h"), ("BTC/USDT", "4h"), ("ETH/USDT", "1h"), ("DOGE/USDT", "4h")}
CANDLES = 300
FORECASTS = 150
MODELS = {"ridge": 0.045, "lightgbm": 0.040, "ewma_ridge": 0.030, "lstm": 0.005, "knn": -0.06, "reference_lstm": -0.45}
VERSION = "20240421T120500-1"
_QUALITY_RULES = ("open_time on the time grid", "low <= open, close <= high", "price above zero", "volume not negative",
                  "no repeated open_time", "close near the last close")  # fmt: skip


def _base(symbol: str, timeframe: str) -> dict[str, Any]:
    return {"exchange": "binance", "symbol": symbol, "timeframe": timeframe}


def _candles(symbol: str, timeframe: str, draw: np.random.Generator) -> pd.DataFrame:
    length = pd.Timedelta(milliseconds=TIMEFRAMES[timeframe])
    end = END.floor("D") if timeframe == "1d" else END
    opens = pd.date_range(end=end - length, periods=CANDLES, freq=length)
    scale = 0.005 * np.sqrt(TIMEFRAMES[timeframe] / 3_600_000)
    close = np.exp(np.cumsum(draw.normal(0, scale, CANDLES)))
    close *= MARKETS[symbol] / close[-1]
    first = np.concatenate([[close[0]], close[:-1]])
    reach = np.abs(draw.normal(0, scale * 0.7, (2, CANDLES)))
    frame = pd.DataFrame({
        **_base(symbol, timeframe), "open_time": opens, "close_time": opens + length, "open": first,
        "high": np.maximum(first, close) * (1 + reach[0]), "low": np.minimum(first, close) * (1 - reach[1]),
        "close": close, "volume": draw.uniform(100, 900, CANDLES), "is_gap": False,
    })  # fmt: skip
    if timeframe == "1h":
        frame.loc[[CANDLES - 41, CANDLES - 40], ["open", "high", "low", "close", "volume"]] = None
        frame.loc[[CANDLES - 41, CANDLES - 40], "is_gap"] = True
    return frame


def _results(symbol: str, timeframe: str, draw: np.random.Generator) -> pd.DataFrame:
    rows = []
    length = TIMEFRAMES[timeframe] / 3_600_000
    baseline_error = 0.52 * np.sqrt(length)
    handicap = 0.0 if (symbol, timeframe) in CHAMPIONS else (-0.05 if timeframe != "1d" else -0.13)
    for number in range(CASES[timeframe]):
        model = list(MODELS)[number % len(MODELS)]
        skill = MODELS[model] + handicap + draw.normal(0, 0.018)
        failed = number % 17 == 5
        lags = int(draw.choice([1, 6, 12, 24]))
        feature_set = str(draw.choice(["core", "core+volume", "range", "all"]))
        case = {"model": {"name": model, "alpha": round(float(draw.uniform(0.1, 10)), 3)},
                "features": {"set": feature_set, "lags": lags}, "seeds": [0, 1, 2], "split": "60/20/20"}  # fmt: skip
        error = baseline_error * (1 - skill)
        metrics = {"rmse_pct": error, "rmse_quote": error / 100 * MARKETS[symbol], "rmse_high_pct": error * 0.97,
                   "rmse_low_pct": error * 1.01, "rmse_close_pct": error * 1.02, "mae_pct": error * 0.71,
                   "baseline": "ewma_range", "baseline_rmse_pct": baseline_error, "skill": skill,
                   "skill_mean_range": skill + 0.04, "skill_har_range": skill - 0.03, "skill_last_candle": skill + 0.12,
                   "skill_high": skill + 0.02, "skill_low": skill + 0.015,
                   "skill_close": (0.1 if symbol == "DOGE/USDT" else 0.05) * skill - 0.004, "skill_seed_std": 0.004,
                   "pinball_pct": error * 0.2, "winkler_pct": error * 6, "band_coverage": 0.8 + draw.normal(0, 0.012),
                   "direction_accuracy": 0.51 + draw.normal(0, 0.006), "direction_se": 0.005,
                   "direction_net_pct": -0.1}  # fmt: skip
        if failed:
            metrics = {name: None for name in metrics} | {"baseline": "ewma_range"}
        finished = END - pd.Timedelta(hours=20) + pd.Timedelta(minutes=float(number * 9 + draw.uniform(0, 5)))
        rows.append({
            "case_key": f"{symbol[:3].lower()}{timeframe}{number:03d}" + f"{draw.integers(1 << 40):010x}",
            "dataset_id": f"ds-{symbol[:3].lower()}-{timeframe}", **_base(symbol, timeframe), "model": model,
            "model_family": model.split("_")[-1], "feature_set": feature_set, "n_features": 24, "lags": lags,
            "case_json": json.dumps(case), "status": "failed" if failed else "tested", "is_ranked": not failed,
            "error": "ValueError: 3 rows are not finite <b>feature rsi_14</b>" if failed else None,
            "machine": (machine := str(draw.choice(["desk-1", "desk-2", "gpu-box"], p=[0.5, 0.3, 0.2]))),
            "worker": f"{machine}:{40 + number % 2}:1.00",
            "started_at": finished - pd.Timedelta(seconds=40), "finished_at": finished,
            "fit_seconds": float(draw.uniform(0.05, 12)), "n_validation": 9000, **metrics,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _forecasts(candles: pd.DataFrame, best: pd.Series | None, draw: np.random.Generator) -> pd.DataFrame:
    """Forecasts of the last candles and of the one after them; errors are RMS over high, low and close in percent."""
    rows = []
    model = None if best is None else best.model
    close = candles.close.to_numpy()
    width = float(np.nanmean((candles.high - candles.low) / candles.close)) / 2
    length = candles.close_time.iloc[0] - candles.open_time.iloc[0]
    for step in range(CANDLES - FORECASTS, CANDLES + 1):
        last = close[step - 1]
        if np.isnan(last):
            continue
        target = candles.close_time.iloc[step - 1]
        drift = draw.normal(0, width * 0.15)
        high, low = last * (1 + width * 1.05), last * (1 - width * 1.05)
        labels = np.log(np.array([high, low, last * (1 + drift)]) / last)
        row = {
            "sequence": step, "hash": f"{draw.integers(1 << 60):016x}", **_base(candles.symbol[0],
            candles.timeframe[0]),
            "target_open_time": target, "target_close_time": target + length, "information_time": target,
            "issued_at": target + pd.Timedelta(seconds=40), "late": step % 37 == 0, "open": last, "high": high,
            "low": low,
            "close": last * (1 + drift), "band_low": last * (1 - width * 2.2), "band_high": last * (1 + width * 2.2),
            "band_level": 0.8, "baseline_high": last * (1 + width), "baseline_low": last * (1 - width),
            "baseline_close": last, "model": model or "baseline", "model_id": f"m-{model}" if model else None,
            "case_key": None if best is None else best.case_key, "baseline": "ewma_range",
            "reason": None if model else "no challenger beats the baseline",
            "is_current": step == CANDLES,
            "bands": json.dumps({level: [last * (1 - width * w), last * (1 + width * w)]
                                 for level, w in (("0.5", 1.7), ("0.8", 2.2), ("0.95", 3.6))}),
            "rivals": json.dumps({"last_candle": [high * 1.001, low * 0.999, last]}),
            "novelty": 0.42 if model else None,
            "contributions": _contributions(labels) if model else None,
        }  # fmt: skip
        if step < CANDLES and not candles.is_gap.iloc[step]:
            # The edge of a model shrinks from 7 % to 1 % while it serves.
            edge = 0.07 - 0.06 * (step - CANDLES + FORECASTS) / FORECASTS
            row |= _score(row, candles.iloc[step], 1.0 - edge if model else 1.0)
        rows.append(row)
    return pd.DataFrame(rows)


def _contributions(labels: np.ndarray) -> str:
    """Six tenths from two inputs, three from the base, and one from all others; nothing is made coherent."""
    inputs = [
        {"column": name, "value": value, "labels": (share * labels).tolist()}
        for name, value, share in (("har_range_6", 0.0123, 0.4), ("season_next", 1.25, 0.2))
    ]
    rest = {"others": 0.1 * labels, "base": 0.3 * labels, "coherence": 0.0 * labels}
    return json.dumps({"inputs": inputs, **{name: part.tolist() for name, part in rest.items()}})


def _score(forecast: dict[str, Any], actual: pd.Series, factor: float) -> dict[str, Any]:
    last = forecast["open"]
    names = ("high", "low", "close")
    baseline = np.sqrt(np.mean([((forecast[f"baseline_{n}"] - actual[n]) / last) ** 2 for n in names])) * 100
    return {
        "actual_open": actual.open, "actual_high": actual.high, "actual_low": actual.low, "actual_close": actual.close,
        "error_pct": baseline * factor, "baseline_error_pct": baseline,
        "covered": bool(actual.low >= forecast["band_low"] and actual.high <= forecast["band_high"]),
        "direction_hit": bool((actual.close >= last) == (forecast["close"] >= last)),
        "scored_at": forecast["target_close_time"] + pd.Timedelta(minutes=2),
    }  # fmt: skip


_MARTS = {
    "error_history": """
        select exchange, symbol, timeframe, row_number() over w trial, finished_at, case_key, model, rmse_pct, skill,
            min(rmse_pct) over w best_rmse_pct, max(skill) over w best_skill
        from results where status = 'tested' window w as (partition by symbol, timeframe order by finished_at)""",
    "scores": """
        with first as (
            select hash forecast_hash, exchange, symbol, timeframe, target_open_time, scored_at, error_pct,
                baseline_error_pct, 1 - error_pct / baseline_error_pct skill, covered, direction_hit, 0 revision, late,
                0.2 * error_pct pinball_pct, 0.97 * error_pct high_error_pct, 1.01 * error_pct low_error_pct,
                1.02 * error_pct close_error_pct, 0.0 conformity,
                json_object(model, error_pct, 'ewma_range', baseline_error_pct) rival_errors
            from forecasts where scored_at is not null),
        revised as (
            from first where symbol = 'BTC/USDT' and timeframe = '1h' and target_open_time = '2024-04-20 06:00:00')
        select row_number() over (order by scored_at, symbol, timeframe, revision) as sequence, * from (
            from first anti join revised using (forecast_hash)
            union all by name
            select * replace (error_pct / 1.5 as error_pct, baseline_error_pct / 1.5 as baseline_error_pct) from revised
            union all by name
            -- as in the mart, the forecast has its newest score
            select * replace (1 as revision, scored_at + interval 1 day as scored_at) from revised)""",
    "data_health": """
        select exchange, symbol, timeframe, count(*) filter (not is_gap) candles, count(*) filter (is_gap) gaps,
            min(open_time) first_open_time, max(open_time) last_open_time, max(close_time) last_close_time,
            if(symbol = 'DOGE/USDT', 'failed', 'ok') last_load_status,
            if(symbol = 'DOGE/USDT', 'the exchange answered 429 five times', null) last_load_message,
            (select count(*) from quarantine q where q.symbol = candles.symbol and q.timeframe = candles.timeframe)
                as quarantined,
            if(symbol = 'DOGE/USDT', 4, 0) quarantined_last_run, 1200 last_run_rows, 0 checks_not_applicable,
            if(timeframe = '1h', 6, 0) checks_run, if(timeframe = '1h' and symbol = 'DOGE/USDT', 1, 0) checks_failed,
            timestamp '2024-04-21 12:05:00' exchange_time,
            if(symbol = 'DOGE/USDT' and timeframe = '1h', 2.4, 0.08) lag_candles,
            if(symbol = 'DOGE/USDT' and timeframe = '1h', 'stale', 'fresh') freshness
        from candles group by all order by all""",
}


def build_tables(seed: int = 7) -> duckdb.DuckDBPyConnection:
    """All tables of a snapshot in an in-memory DuckDB."""
    draw = np.random.default_rng(seed)
    series = [(symbol, timeframe) for symbol in MARKETS for timeframe in TIMEFRAMES]
    candles = {key: _candles(*key, draw) for key in series}
    results = pd.concat([_results(*key, draw) for key in series])
    best = results.sort_values("skill", ascending=False).groupby(["symbol", "timeframe"])[["model", "case_key"]].first()
    forecasts = pd.concat([_forecasts(candles[k], best.loc[k] if k in CHAMPIONS else None, draw) for k in series])
    failed = [symbol == "DOGE/USDT" and number == 5 for symbol in MARKETS for number in range(len(_QUALITY_RULES))]
    checks = pd.DataFrame([
        {"load_id": 9, **_base(symbol, "1h"), "checked_at": END, "rule": rule,
             "severity": "error" if n < 3 else "warning",
         "success": True, "rows_checked": 1200, "rows_failed": 0, "rows_checked_ever": 4800, "rows_failed_ever": 7,
         "detail": "", "run_id": 8}
        for symbol in MARKETS for n, rule in enumerate(_QUALITY_RULES)
    ])  # fmt: skip
    checks.loc[failed, ["success", "rows_failed", "detail"]] = [False, 3, "close moved by more than 20 %"]
    quarantine = pd.DataFrame([
        {**_base("DOGE/USDT", "1h"), "open_time": END - pd.Timedelta(hours=n + 5), "open": 0.15, "high": 0.14,
             "low": 0.16,
         "close": 0.15, "volume": 10.0, "load_id": 9, "loaded_at": END, "rule": _QUALITY_RULES[1],
         "detail": "high < low"}
        for n in range(4)
    ])  # fmt: skip
    chains = pd.DataFrame([
        {"chain": chain, "verified_at": END, "records": 40, "head": "f" * 64, "problem": "", "unsigned": 2,
             "earlier_key": 0, "replayed": 0, "anchored": 30, "anchored_at": END, "anchored_by": "Test authority"}
        for chain in ("forecasts", "scores", "verdicts")
    ])  # fmt: skip
    frames = {
        "chains": chains, "markets": pd.DataFrame([
            {**_base(*key), "timeframe_ms": TIMEFRAMES[key[1]], "base_timeframe": "1h",
                 "base_ms": 3_600_000} for key in series
        ]),
        "candles": pd.concat(candles.values()), "results": results, "forecasts": forecasts, "quality_checks": checks,
        "quarantine": quarantine,
        "weights": pd.concat(
            synthetic_promotion.weights(f, draw) for _, f in forecasts.groupby(["symbol", "timeframe"])
        ),
        **synthetic_trading.tables(candles, seed), **synthetic_analysis.tables(results),
        "won": pd.DataFrame(sorted(CHAMPIONS), columns=["symbol", "timeframe"]),
    }  # fmt: skip
    database = duckdb.connect(":memory:")
    for name, frame in frames.items():
        database.register("frame", frame)
        database.execute(f"create table {name} as select * from frame")
        database.unregister("frame")
    for name, sql in (_MARTS | synthetic_promotion.MARTS).items():
        database.execute(f"create table {name} as {sql}")
    for sql in synthetic_promotion.UPDATES:
        database.execute(sql)
    return database


def progress() -> dict[str, Any]:
    """A sweep that is two thirds through."""
    return {
        "sweep_id": "nightly-2024-04-21", "status": "running", "started_at": "2024-04-21T10:40:00+00:00",
        "updated_at": "2024-04-21T12:04:57+00:00", "cases_total": 2400, "cases_done": 1587, "cases_failed": 6,
        "cases_in_work": 48, "cases_per_minute": 18.7, "mean_seconds": 6.1, "eta_seconds": 2456.0,
        "workers": [{"worker": w, "cases": n, "share": n / 1587} for w, n in (("desk-1", 802), ("desk-2", 480),
        ("gpu-box", 305))],
        "warnings": ["Result file set aside: results/d/c.corrupt. Find out <why>."],
        "series": [
            {"exchange": "binance", "symbol": symbol, "timeframe": timeframe, "cases_total": 266,
            "cases_done": 266 - 30 * n,
             "cases_failed": n % 2, "cases_in_work": 6 * n % 20, "cases_never_tested": 30 * n - 6 * n % 20,
             "cases_pruned": n}
            for n, (symbol, timeframe) in enumerate((s, t) for s in MARKETS for t in TIMEFRAMES)
        ],
    }  # fmt: skip


def write_snapshot(store: Path) -> None:
    """Publish the synthetic tables into a store folder."""
    database = build_tables()
    folder = store / "published" / VERSION
    folder.mkdir(parents=True)
    published = database.execute(
        "select table_name from duckdb_tables() where table_name not in ('won', 'evaluated')"
    ).fetchall()
    for (name,) in published:
        database.execute(f"copy {name} to '{folder / name}.parquet' (format parquet)")
    (store / "published" / "progress.json").write_text(json.dumps(progress()))
    point_to(store, VERSION)


def write_once(store: Path) -> Path:
    """The same, by the first of the workers that ask for it, since it takes seconds; for tests to read or to copy."""
    with FileLock(f"{store}.lock"):
        if not store.exists():
            write_snapshot(store)
    return store


def add_version(store: Path, version: str) -> None:
    """Publish a second version, in which each skill is half of that in the first one."""
    folder = store / "published" / version
    shutil.copytree(store / "published" / VERSION, folder)
    duckdb.execute(
        f"""copy (select * replace (skill / 2 as skill) from '{store}/published/{VERSION}/leaderboard.parquet')
        to '{folder}/leaderboard.parquet' (format parquet)"""
    )
    point_to(store, version)


def point_to(store: Path, version: str) -> None:
    """Swap the pointer."""
    pointer = {
        "version": version,
        "published_at": "2024-04-21T12:05:03+00:00",
        "exchange_time": "2024-04-21T12:05:00+00:00",
    }
    (store / "published" / "current.json").write_text(json.dumps(pointer))
