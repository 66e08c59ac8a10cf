"""Synthetic verdicts, reviews, coverage of prediction intervals and rounds of weights.

Every series with a champion had another one before; a champion of ETH/USDT 4h was retired; a result of one worker
failed verification.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MARTS = {
    "leaderboard": """
        select results.* exclude (status, error, started_at), t.n_trials, null::double holdout_skill,
            false is_champion, row_number() over w as rank,
            skill - if(won, 0.013, 0.03) skill_lower, skill + if(won, 0.013, 0.03) skill_upper,
            if(won, 0.004, 0.31) spa_p_value, rank <= 5 is_finalist,
            if(rank <= 5, skill > max(skill) over (partition by symbol, timeframe) - 0.02, null) in_confidence_set
        from results join (select symbol, timeframe, count(distinct case_key) n_trials,
                (symbol, timeframe) in (select (symbol, timeframe) from won) won
            from results group by all) t using (symbol, timeframe)
        where status = 'tested' window w as (partition by symbol, timeframe order by skill desc)""",
    "evaluated": """
        select *, timestamp '2024-02-10 02:15:00' decided_at, 'promoted' decision, 'promoted' as rule
        from leaderboard where rank = 3 and (symbol, timeframe) in (select (symbol, timeframe) from won)
        union all by name
        select * replace (0.031 as skill), timestamp '2024-02-10 02:15:00' decided_at, 'promoted' decision,
            'promoted' as rule
        from leaderboard where rank = 3 and symbol = 'ETH/USDT' and timeframe = '4h'
        union all by name
        select *, timestamp '2024-03-20 02:15:00' decided_at, 'promoted' decision, 'promoted' as rule from leaderboard
        where rank = 1 and (symbol, timeframe) in (select (symbol, timeframe) from won)
        union all by name
        select *, timestamp '2024-04-21 07:30:00' decided_at, 'refused' decision,
            if(skill > 0, 'paired_test', 'minimal_skill') as rule
        from leaderboard where rank = 1 and (symbol, timeframe) not in (select (symbol, timeframe) from won)
        union all by name
        select *, timestamp '2024-04-10 02:15:00' decided_at, 'refused' decision, 'false_claim' as rule,
            'gpu-box:71' false_claim_worker
        from leaderboard where rank = 2 and symbol = 'DOGE/USDT' and timeframe = '1h'
        union all by name
        select *, timestamp '2024-04-14 03:00:00' decided_at, 'confirmed' decision, 'keeps_edge' as rule,
            0.6 * skill review_skill, 8760 review_rows
        from leaderboard where rank = 1 and timeframe = '1h' and symbol in ('BTC/USDT', 'ETH/USDT')
        union all by name
        select *, timestamp '2024-04-02 03:00:00' decided_at, 'retired' decision, 'lost_edge' as rule,
            -0.006 review_skill, 730 review_rows
        from leaderboard where rank = 3 and symbol = 'ETH/USDT' and timeframe = '4h'""",
    "verdicts": """
        select row_number() over (order by decided_at, symbol, timeframe) as sequence, exchange, symbol, timeframe,
            dataset_id, case_key, model, lag(if(decision = 'promoted', case_key, null) ignore nulls) over past
                incumbent_case_key,
            decision, rule, decided_at, skill, skill_mean_range, rmse_pct, baseline, n_trials,
            case rule when 'promoted' then 'beats the baseline on validation and holdout (p = 0.002)'
                when 'paired_test' then 'best of ' || n_trials || ' is within luck of the baseline (p = 0.410)'
                when 'minimal_skill' then 'no model beats the baseline ewma_range'
                when 'false_claim' then 'worker gpu-box:71 reported rmse_pct 0.480000, recomputed it is 0.530000'
                when 'lost_edge' then 'the review over 730 rows finds no edge any more'
                else 'the review finds the edge still there' end reason,
            case rule when 'promoted' then 0.002 when 'paired_test' then 0.41 end p_value,
            case rule when 'promoted' then 2.95 when 'paired_test' then 0.23 end t_statistic,
            if(rule in ('promoted', 'paired_test'), 390, null) n_days, 0.01 alpha, 0.005 minimal_gain,
            if(decision = 'promoted' and incumbent_case_key is not null, 0.021, null) gain, spa_p_value,
            decision = 'promoted' holdout_opened,
            if(holdout_opened, sum(holdout_opened::int) over past, null)::bigint holdout_openings,
            if(holdout_opened, 1800, null) holdout_rows,
            if(holdout_opened, timestamp '2023-11-01', null) holdout_start,
            if(holdout_opened, timestamp '2024-01-15', null) holdout_end,
            if(holdout_opened, rmse_pct * 1.02, null) holdout_rmse_pct,
            if(holdout_opened, skill * 0.68, null) holdout_skill,
            if(holdout_opened, 0.807, null) holdout_band_coverage, false_claim_worker, review_skill, review_rows
        from evaluated window past as (partition by symbol, timeframe order by decided_at)""",
    "champion_history": """
        with ended as (
            select *, lead(decided_at) over past next_at, lead(decision) over past next_decision
            from verdicts where decision in ('promoted', 'retired')
            window past as (partition by symbol, timeframe order by decided_at))
        select exchange, symbol, timeframe, sequence, model, case_key, 'm-' || model model_id, decided_at promoted_at,
            next_at ended_at, if(next_decision = 'promoted', 'replaced', next_decision) ended_by,
            n_trials, p_value, baseline, skill, rmse_pct, holdout_skill, holdout_rows, next_at is null is_current,
            if(is_current, l.scored, if(symbol = 'DOGE/USDT', 12, 240)) live_forecasts,
            if(is_current, l.error_pct, rmse_pct * 1.1) live_error_pct,
            if(is_current, l.baseline_error_pct, rmse_pct * 1.1 / (1 - 0.3 * skill)) live_baseline_error_pct,
            1 - live_error_pct / live_baseline_error_pct live_skill
        from ended e, lateral (
            select count(*) scored, sqrt(avg(error_pct ** 2)) error_pct,
                sqrt(avg(baseline_error_pct ** 2)) baseline_error_pct
            from forecasts f where f.scored_at is not null and not f.late and f.symbol = e.symbol
                and f.timeframe = e.timeframe) l
        where decision = 'promoted'""",
    "champions": """
        select m.exchange, m.symbol, m.timeframe, coalesce(v.model, 'baseline') model, v.case_key,
            'm-' || v.model model_id, v.case_key is null is_baseline, v.decided_at promoted_at, v.skill,
            v.skill_mean_range, v.rmse_pct, v.holdout_skill, v.holdout_rmse_pct, v.holdout_band_coverage,
            v.holdout_openings, v.p_value, b.n_trials, b.baseline, coalesce(v.reason, b.reason) reason, l.*,
            v.decided_at - interval 1 hour trained_through,
            date_diff('second', v.decided_at, timestamp '2024-04-21 12:05:00') / 86400 age_days,
            r.decided_at reviewed_at, r.review_skill,
            case when v.case_key is not null then 'champion'
                when m.symbol || m.timeframe = 'ETH/USDT4h' then 'retired' else 'baseline' end state
        from markets m left join (from champion_history where is_current) h using (symbol, timeframe)
            left join verdicts v on v.sequence = h.sequence
            join (from verdicts qualify row_number() over (partition by symbol, timeframe order by sequence desc) = 1) b
                on b.symbol = m.symbol and b.timeframe = m.timeframe
            left join verdicts r on r.case_key = v.case_key and r.decision = 'confirmed',
            lateral (select count(*) live_forecasts, sqrt(avg(error_pct ** 2)) live_error_pct,
                sqrt(avg(baseline_error_pct ** 2)) live_baseline_error_pct,
                1 - sqrt(avg(error_pct ** 2)) / sqrt(avg(baseline_error_pct ** 2)) live_skill,
                avg(covered::int) live_coverage, avg(direction_hit::int) live_hit_rate
                from forecasts f where f.scored_at is not null and not f.late and f.symbol = m.symbol
                    and f.timeframe = m.timeframe) l""",
    "band_reliability": """
        select exchange, symbol, timeframe, level, forecasts, coverage, 0.1 * (1.2 - level) pinball_pct,
            level = 0.8 and forecasts >= 50 and coverage not between 0.7 and 0.9 alarm
        from (select exchange, symbol, timeframe, if(symbol || timeframe = 'DOGE/USDT1h', 30, count(*)) forecasts,
                if(symbol || timeframe = 'ETH/USDT1d', 0.66, avg(covered::int)) inside from forecasts
                where scored_at is not null and not late group by exchange, symbol, timeframe),
            lateral (select unnest([0.5, 0.8, 0.95]) as level,
                unnest([0.62 * inside, inside, 0.5 + 0.5 * inside]) coverage)""",
    "band_groups": """
        select exchange, symbol, timeframe, grouped_by, group_number,
            grouped_by || ' ' || lpad(group_number::varchar, 2, '0') group_name, 60 + group_number forecasts,
            if(symbol || timeframe || grouped_by || group_number = 'BTC/USDT1hhour14', 0.55, 0.8) coverage,
            sqrt(coverage * (1 - coverage) / forecasts) coverage_se, coverage < 0.6 alarm
        from markets, lateral (
            select if(timeframe = '1d', 'weekday', 'hour') grouped_by,
                unnest(if(timeframe = '1d', range(1, 8), range(24))) group_number
            union all select 'volatility', unnest(range(1, 6)) union all select 'jump', unnest(range(2)))""",
}
"""Table -> query, in the order in which they build on one another; `evaluated` is a step and is not published."""

UPDATES = (
    "update leaderboard l set holdout_skill = v.holdout_skill from verdicts v "
    "where v.case_key = l.case_key and v.decision = 'promoted'",
    "update leaderboard l set is_champion = true from champions c where c.case_key = l.case_key",
)


def weights(forecasts: pd.DataFrame, draw: np.random.Generator, rounds: int = 40) -> pd.DataFrame:
    """Weights of four contenders over the last rounds of a series, by the moving average of the published table."""
    scored = forecasts[forecasts.scored_at.notna()].tail(rounds)
    model, case_key = scored[["model", "case_key"]].iloc[-1]
    names = ["last_candle", "mean_range", "ewma_range", *([] if model == "baseline" else [f"{model} {case_key}"])]
    weight, rows = np.full(len(names), 0.25), []
    for number, time in enumerate(scored.target_open_time):
        error = (np.array([1.2, 1.1, 1.0, 0.96]) + draw.normal(0, 0.08, 4))[: len(names)]
        score = (error.max() - error) / (error.max() - error.min())
        volatility = float(draw.uniform(0.2, 0.9))
        weight = weight + 2 / 49 * ((weight + score * volatility) / (1 + volatility) - weight)
        rows += [
            {"exchange": "binance", "symbol": scored.symbol.iloc[0], "timeframe": scored.timeframe.iloc[0],
             "round_time": time, "contender": name, "round_score": score[n], "volatility_weight": volatility,
             "weight": weight[n], "is_latest": number == len(scored) - 1}
            for n, name in enumerate(names)
        ]  # fmt: skip
    return pd.DataFrame(rows)
