"""Start the server of the API: `python -m app.api`, with its options in the environment (`app.api.options`)."""

from __future__ import annotations

import logging
import sys

import uvicorn

from app.api.application import create_application
from app.api.options import LOOPBACK, ApiOptions, read_options
from ml.errors import CandleworksError, ConfigurationError

#: Seconds that streams get to end when the server is stopped.
GRACE_SECONDS = 2


def check(options: ApiOptions) -> None:
    """Refuse to answer other machines without a key.

    Raises:
        ConfigurationError: there is no key.
    """
    if options.is_open and options.host not in LOOPBACK:
        raise ConfigurationError(
            f"Without a key the API answers this machine alone, not on {options.host}. Run `candleworks api-key NAME` "
            "and put the line that it prints under [api], or leave out --host."
        )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        options = read_options()
        check(options)
        application = create_application(options)
    except CandleworksError as error:
        sys.exit(f"candleworks: {error.lines()[0]}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # uvicorn's own access log has the query of each request, `app.api.entrance` writes a line without it.
    uvicorn.run(
        application,
        host=options.host,
        port=options.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main()
