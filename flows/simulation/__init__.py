"""The rehearsal: days of live operation against a recorded exchange, in minutes, with faults, and a verdict on them.

The driver steps the exchange's clock from candle to candle and has Prefect run the real deployments at the times at
which their schedules would. The clock stands while a run is at work. That is honest, because replayed time is what the
records say: a forecast is in time when the exchange's clock had not passed the grace, and no forecast can know more
than the exchange shows at that time. What it does not show is whether a run is quick enough for a live grace; for that
there is the wall time of each step.
"""
