"""The recorded exchange: a small HTTP server with the public REST endpoints of Binance that ccxt calls.

It serves recorded or simulated candles as they would have looked at the time of its clock, with the exchange's own
paging, rate limits and error bodies, and with faults on demand. Clients differ from live ones only in their base URL.
"""

from flows.replay.clock import ReplayClock
from flows.replay.faults import Fault, Faults
from flows.replay.server import ReplayServer, serve_forever
from flows.replay.source import CandleSource, RecordedCandles, SimulatedCandles

__all__ = [
    "CandleSource",
    "Fault",
    "Faults",
    "RecordedCandles",
    "ReplayClock",
    "ReplayServer",
    "SimulatedCandles",
    "serve_forever",
]
