"""The demo, and the rehearsal: days of live operation against a recorded exchange, in minutes, with faults and checks.

The driver steps the exchange's clock from candle to candle and has Prefect run the real deployments at the times of
their schedules. The clock is stopped during a run. The result is valid because all records use replayed time: a
forecast is in time if the exchange's clock had not passed the grace period, and no forecast can know more than the
exchange shows at that time. A rehearsal does not show whether a run is fast enough for the grace period in live
operation; see the wall time of each step for that.
"""
