"""Notices: messages about signals, paper trades and alarms, each sent once per target.

An event is a file of the outbox (`outbox`), created exclusively, so that of several processes one records it. Per
target the send begins with a mark, created exclusively, and ends with another that has the result. A process that dies
between the two leaves an attempt without a result: the message may have been sent, so it is not sent again, but
reported as unknown (at most once). An answer that says that nothing was taken is tried again with growing pauses.
"""
