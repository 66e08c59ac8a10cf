"""The settings: one validated object, read from ``candleworks.toml`` and the environment.

Nothing in `ml` or `app` loads it: they take plain arguments. An unknown key, an unknown timeframe or a value out of
range ends the program before any work. Environment variables override the file: ``CANDLEWORKS_EXCHANGE__BASE_URL=...``
sets ``base_url`` of ``[exchange]``; secrets come from the environment only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from flows.messages import KINDS, template_problem
from ml import symbols
from ml.errors import ConfigurationError
from ml.promotion.settings import PromotionSettings
from ml.series import Series
from ml.timeframes import TIMEFRAMES, UtcDatetime
from ml.toml_files import TomlTable, read_toml

CONFIG_NAME = "candleworks.toml"
_logger = logging.getLogger(__name__)
#: Keys that are read from the environment only, and never written.
SECRETS = frozenset(("api_key", "api_secret", "webhook", "urls"))
#: Names of exchanges: they are parts of file names. Empty: none is given.
EXCHANGE_ID = r"^[A-Za-z0-9_]{1,40}$"
EXCHANGE_NAME = r"^([A-Za-z0-9]+([ ._-][A-Za-z0-9]+)*)?$"
#: Names of keys of the API, and the form of their digests.
KEY_NAME = r"^[a-z][a-z0-9_-]{0,39}$"
KEY_DIGEST = r"^sha256:[0-9a-f]{64}$"
#: Ending of the keys under `[notices]` that are addresses of targets.
_URL = "_url"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ExchangeSettings(_Section):
    """Which exchange, and how to reach it."""

    id: str = Field("binance", pattern=EXCHANGE_ID, description="The exchange's name in ccxt.")
    name: str = Field(
        "",
        pattern=EXCHANGE_NAME,
        max_length=40,
        description="Name of the exchange in series, such as that of a simulation; empty: the id.",
    )
    base_url: str = Field("", description="Replaces every host of the exchange, e.g. by a recorded exchange.")
    market_type: Literal["", "spot", "linear", "inverse"] = Field(
        "", description="Spot, or perpetuals settled in the quote or the base; empty: the exchange's default."
    )
    timeout_seconds: float = Field(10.0, gt=0, le=120)
    load_seconds: float = Field(3600.0, gt=0, description="Time limit for loading one market.")
    retries: int = Field(5, ge=0, le=20, description="Retries after 429, 5xx and time-outs, with back-off.")
    api_key: SecretStr = Field(SecretStr(""), description="From the environment only; candles need none.")
    api_secret: SecretStr = Field(SecretStr(""), description="From the environment only.")

    @property
    def called(self) -> str:
        """The exchange name under which its candles are stored."""
        return self.name or self.id


class SourceSettings(ExchangeSettings):
    """One more exchange whose candles are combined with those of `[exchange]`; keys as there."""

    id: str = Field(pattern=EXCHANGE_ID, description="The exchange's name in ccxt.")
    symbols: dict[str, str] = Field(
        {}, description='Our symbol -> the exchange\'s own, where they differ: {"BTC/USDT" = "BTC/USD"}.'
    )

    @field_validator("symbols")
    @classmethod
    def _names_of_markets(cls, names: dict[str, str]) -> dict[str, str]:
        for symbol in (*names, *names.values()):
            if problem := symbols.problem(symbol):
                raise ValueError(problem)
        return names


class CombineSettings(_Section):
    """Several exchanges combined into one: mean open and close, highest high, lowest low, summed volume.

    `[exchange]` is always the first source, and the reference for the timestamps of the others. Without `sources`
    nothing is combined.
    """

    name: str = Field(
        "combined",
        min_length=1,
        max_length=40,
        pattern=EXCHANGE_NAME,
        description="Name of the combined exchange in series.",
    )
    minimal_sources: int = Field(1, ge=1, description="A bar with fewer sources is a gap.")
    sources: tuple[SourceSettings, ...] = Field((), description="The other exchanges: a list of tables.")


class MarketSettings(_Section):
    """Which candles: every symbol in every timeframe is one series."""

    symbols: tuple[str, ...] = Field(("BTC/USDT", "ETH/USDT"), min_length=1)
    base_timeframe: str = Field("1h", description="The timeframe that is downloaded.")
    timeframes: tuple[str, ...] = Field(("1h", "4h", "1d"), min_length=1, description="The timeframes to forecast.")
    history_start: UtcDatetime = Field(datetime.fromisoformat("2017-08-17T00:00:00+00:00"))

    @model_validator(mode="after")
    def _timeframes_fit(self) -> MarketSettings:
        for name in (self.base_timeframe, *self.timeframes):
            if name not in TIMEFRAMES:
                raise ValueError(f"unknown timeframe {name!r}; use one of {' '.join(TIMEFRAMES)}")
        base_ms = TIMEFRAMES[self.base_timeframe]
        for name in self.timeframes:
            if TIMEFRAMES[name] % base_ms:
                raise ValueError(f"timeframe {name!r} is not a multiple of base_timeframe {self.base_timeframe!r}")
        for symbol in self.symbols:
            if problem := symbols.problem(symbol):
                raise ValueError(problem)
        if len(set(self.symbols)) < len(self.symbols) or len(set(self.timeframes)) < len(self.timeframes):
            raise ValueError("symbols and timeframes may be named once each")
        return self


class IngestSettings(_Section):
    """How candles are loaded."""

    overlap_candles: int = Field(24, ge=1, le=1000, description="Read again at each run, to catch revisions.")
    page_size: int = Field(1000, ge=1, le=1000)


class SweepSettings(_Section):
    """Which test cases are evaluated, and by how many processes."""

    search_spaces: tuple[str, ...] = Field(
        (), description="TOML files of search spaces, relative to this file; empty: the built-in default."
    )
    unused_spaces: Literal["refuse", "skip"] = Field(
        "refuse", description="A search space that names a market or timeframe which is not configured."
    )
    processes: int = Field(0, ge=0, le=256, description="Local worker processes; 0: one per core.")
    refresh_hours: float = Field(20.0, ge=0, description="A dataset is reused until candles this much newer exist.")
    lease_seconds: int = Field(
        600, ge=10, description="After this time without a heartbeat a lease expires and other workers take its work."
    )
    chunk_seconds: float = Field(
        90.0, gt=0, description="Target duration of a chunk of test cases; the last ones are shorter."
    )
    in_flight: int = Field(16, ge=1, le=10_000, description="Chunks submitted to a work pool at the same time.")
    case_seconds: float = Field(1800.0, gt=0, description="A test case that takes longer fails.")
    case_memory_gb: float = Field(8.0, gt=0, description="A test case that needs more memory than this fails.")

    @property
    def case_limits(self) -> dict[str, float]:
        """The limits of one test case, by the names of `ml.execution.limits.CaseLimits`."""
        return {"seconds": self.case_seconds, "memory_gb": self.case_memory_gb}


class ForecastSettings(_Section):
    """How forecasts are issued."""

    grace_fraction: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the candle's timeframe after its open within which a forecast is in time.",
    )
    stale_candles: int = Field(
        24,
        ge=0,
        description="With more closed candles missing than this no forecast is issued; with fewer the baseline serves.",
    )


class TradingSettings(_Section):
    """Signals, the costs at which they are traded, and paper trading."""

    signals: tuple[str, ...] = Field(
        (), description="TOML files of signals, relative to this file; empty: the built-in ones."
    )
    enabled: bool = Field(True, description="Whether rules are chosen and traded on paper at all.")
    fee: float = Field(0.001, ge=0, le=0.1, description="Fee of each side, a fraction of the value.")
    slippage: float = Field(0.0, ge=0, le=0.1, description="Loss of each fill against the open, a fraction.")
    keep_days: float = Field(
        90.0, gt=0, description="A rule is chosen again after this time, or when its signal or columns have changed."
    )


class SealSettings(_Section):
    """Where the heads of the sealed chains are anchored with a third party."""

    webhook: SecretStr = Field(SecretStr(""), description="URL, from the environment only; empty: not anchored.")
    timeout_seconds: float = Field(5.0, gt=0, le=60)
    timestamp_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="A time-stamp authority (RFC 3161), asked once per day; empty: none.",
    )
    timestamp_roots: str = Field(
        "", description="PEM file of its root certificates; empty: those that this machine trusts."
    )


class TargetSettings(_Section):
    """A receiver of notices. The address of a webhook or an apprise service comes from the environment only."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", description="Its name, unique among the targets.")
    kind: Literal["console", "file", "webhook", "apprise"]
    path: str = Field("", description="Of a file: one JSON object per line; relative to this file.")
    events: tuple[str, ...] = Field((), description="Kinds of events; empty: all.")
    symbols: tuple[str, ...] = Field((), description="Only events of these markets, and those of none; empty: all.")
    timeframes: tuple[str, ...] = Field((), description="The same for timeframes.")
    band_interval: dict[int, Annotated[int, Field(ge=1)]] = Field(
        {},
        description="Repeats `score_band`: from this many steps beyond the threshold on -> every n candles. "
        "Empty: changes only.",
    )

    @property
    def variable(self) -> str:
        """The environment variable of its address."""
        return f"CANDLEWORKS_NOTICES__{self.name.upper()}_URL"

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> TargetSettings:
        if bool(self.path) != (self.kind == "file"):
            raise ValueError(f'{self.name}: `path` belongs to a target of kind "file", and only there')
        for kind in self.events:
            if kind not in KINDS:
                raise ValueError(f"{self.name}: unknown event {kind!r}; use some of {', '.join(KINDS)}")
        if any(step < 1 for step in self.band_interval):
            raise ValueError(f"{self.name}: band_interval counts steps from 1 on")
        return self


class NoticeSettings(_Section):
    """Which messages are sent, and where to."""

    targets: tuple[TargetSettings, ...] = Field((), description="A list of tables; empty: no notices.")
    templates: dict[str, str] = Field({}, description="Texts that replace those of `flows.messages.DEFAULTS`.")
    urls: dict[str, SecretStr] = Field(
        {}, description="Addresses by target, from CANDLEWORKS_NOTICES__<NAME>_URL in the environment only."
    )
    attempts: int = Field(8, ge=1, le=50, description="A message that is refused this many times is given up.")
    retry_seconds: float = Field(300.0, gt=0, description="Pause after the first failure; doubles up to 6 hours.")
    timeout_seconds: float = Field(10.0, gt=0, le=60)
    silent_hours: float = Field(3.0, gt=0, description="Alarm when nothing new was published for this long.")
    verify_hours: float = Field(24.0, ge=0, description="How often all chains are verified for alarms.")

    @model_validator(mode="before")
    @classmethod
    def _collect_urls(cls, content: Any) -> Any:
        """`<name>_url` is the address of a target."""
        if not isinstance(content, dict):
            return content
        urls = {name.removesuffix(_URL): value for name, value in content.items() if name.endswith(_URL)}
        others = {name: value for name, value in content.items() if not name.endswith(_URL)}
        return {**others, "urls": {**others.get("urls", {}), **urls}} if urls else others

    @field_validator("templates")
    @classmethod
    def _templates_can_be_filled(cls, templates: dict[str, str]) -> dict[str, str]:
        if problem := template_problem(templates):
            raise ValueError(problem)
        return templates

    @model_validator(mode="after")
    def _names_differ(self) -> NoticeSettings:
        names = [target.name for target in self.targets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two targets are called {name!r}; give one of them another `name`")
        return self


class ServiceSettings(_Section):
    """What `candleworks up` runs; its ports are all on the loopback address."""

    server_port: int = Field(4200, ge=1, le=65535)
    server_names: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...] = Field(
        (), description="Host names of the Prefect server in addition to localhost, such as host.docker.internal."
    )
    app_port: int = Field(8501, ge=1, le=65535)
    cpu_workers: int = Field(1, ge=0, le=64)
    gpu_workers: int = Field(0, ge=0, le=64)

    @model_validator(mode="before")
    @classmethod
    def _ignore_standby(cls, content: Any) -> Any:
        """Accept the key `standby` of earlier versions, which kept a warm worker."""
        if isinstance(content, dict) and "standby" in content:
            _logger.warning("services.standby has no effect any more: remove it.")
            content = {name: value for name, value in content.items() if name != "standby"}
        return content


class ApiSettings(_Section):
    """The HTTP API. Without a key it answers this machine alone."""

    model_config = ConfigDict(populate_by_name=True)

    port: int = Field(8502, ge=0, le=65535, description="0: `up` does not run it.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; another one needs a key.")
    # In the file it is `keys`. An attribute of this name would make `dict(section)` fail, as Prefect's walk over the
    # arguments of a flow run calls it.
    key_digests: dict[Annotated[str, Field(pattern=KEY_NAME)], Annotated[str, Field(pattern=KEY_DIGEST)]] = Field(
        {}, alias="keys", description="Name -> digest of a key, from `candleworks api-key NAME`; never the key itself."
    )
    calls_per_minute: int = Field(600, ge=1, le=1_000_000, description="Of one key.")
    stream_clients: int = Field(32, ge=1, le=1000, description="Clients of the stream at the same time.")
    body_megabytes: int = Field(64, ge=1, le=1000, description="Largest body of a request.")


class StorageSettings(_Section):
    """Where the store is."""

    url: str = Field("", description="An fsspec URL such as s3://bucket/path, or a folder; empty: store in the home.")


@dataclass(frozen=True)
class Source:
    """Where candles of a market come from: an exchange, and its symbol of the market."""

    exchange: ExchangeSettings
    symbol: str


class Settings(BaseSettings):
    """All settings of one workspace."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="CANDLEWORKS_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,  # a traceback in the log of a flow must not have secrets
    )

    exchange: ExchangeSettings = ExchangeSettings()
    combine: CombineSettings = CombineSettings()
    markets: MarketSettings = MarketSettings()
    ingest: IngestSettings = IngestSettings()
    sweep: SweepSettings = SweepSettings()
    promotion: PromotionSettings = PromotionSettings()
    forecast: ForecastSettings = ForecastSettings()
    trading: TradingSettings = TradingSettings()
    seal: SealSettings = SealSettings()
    notices: NoticeSettings = NoticeSettings()
    services: ServiceSettings = ServiceSettings()
    api: ApiSettings = ApiSettings()
    storage: StorageSettings = StorageSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrides the file, so that a deployment can be redirected without editing."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _sources_fit(self) -> Settings:
        combine = self.combine
        if not combine.sources:
            return self
        names = [exchange.called for exchange in self.exchanges()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"combine.sources: two sources are called {name!r}; give one of them another `name`")
        if combine.name in names:
            raise ValueError(f"combine.name: {combine.name!r} is one of the sources; choose another name")
        if combine.minimal_sources > len(names):
            raise ValueError(
                f"combine.minimal_sources: {combine.minimal_sources} is more than the {len(names)} sources"
            )
        for source in combine.sources:
            if unknown := sorted(source.symbols.keys() - set(self.markets.symbols)):
                raise ValueError(
                    f"combine.sources: {source.called} has a symbol for {unknown[0]!r}, which [markets] does not name"
                )
        return self

    @model_validator(mode="after")
    def _filters_fit(self) -> Settings:
        for target in self.notices.targets:
            for name in ("symbols", "timeframes"):
                if unknown := sorted(set(getattr(target, name)) - set(getattr(self.markets, name))):
                    raise ValueError(
                        f"notices.targets: {target.name} filters by {unknown[0]!r}, which is not in [markets] {name}"
                    )
        return self

    @property
    def exchange_name(self) -> str:
        """Name of the exchange in series, tables and forecasts."""
        return self.combine.name if self.combine.sources else self.exchange.called

    def exchanges(self) -> tuple[ExchangeSettings, ...]:
        """All exchanges that candles are loaded from, `[exchange]` first."""
        return self.exchange, *self.combine.sources

    def sources(self, symbol: str) -> list[Source]:
        """Where the candles of a market come from, `[exchange]` first."""
        others = [Source(exchange, exchange.symbols.get(symbol, symbol)) for exchange in self.combine.sources]
        return [Source(self.exchange, symbol), *others]

    def series(self) -> list[Series]:
        """Every market in every timeframe, in the order of the file."""
        return [
            Series(exchange=self.exchange_name, symbol=symbol, timeframe=timeframe)
            for symbol in self.markets.symbols
            for timeframe in self.markets.timeframes
        ]


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    found = f" (found {problem['input']!r})" if not isinstance(problem.get("input"), dict | BaseModel) else ""
    if SECRETS.intersection(str(part) for part in problem["loc"]):
        found = ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["loc"][:2] == ("api", "keys") and problem["type"] == "string_pattern_mismatch":
        # Not with the value: it may be a key. The name is in the place.
        where, message, found = (
            "api.keys",
            "a name or a digest has another form; `candleworks api-key NAME` prints a line",
            "",
        )
    if problem["type"] == "extra_forbidden":
        message = "unknown key"
        found = ""
    return f"{where}: {message}{found}" if where else message


def _has_secrets(content: TomlTable) -> bool:
    """Whether a file has secrets where keys for them exist; values that are not tables are left to the validation."""
    notices = content.get("notices")
    tables = [content.get("exchange"), content.get("seal"), notices, *_tables(content, "combine", "sources")]
    addresses = [key for key in notices if key.endswith(_URL)] if isinstance(notices, dict) else []
    return (
        bool(addresses)
        or any(SECRETS & table.keys() for table in tables if isinstance(table, dict))
        or any("url" in target for target in _tables(content, "notices", "targets"))
    )


def _tables(content: TomlTable, section: str, key: str) -> list[TomlTable]:
    """The tables of a list in a section."""
    values = content.get(section)
    found = values.get(key) if isinstance(values, dict) else None
    return [table for table in found if isinstance(table, dict)] if isinstance(found, list) else []


#: Section -> key -> value of a setting, to override those of a file; `Settings` checks names and values.
Overrides = Mapping[str, Mapping[str, object]]


def load_settings(path: Path | None, overrides: Overrides | None = None) -> Settings:
    """Read and check the settings. Relative paths in them are read from the folder of the file.

    Args:
        path: the TOML file; None: ``candleworks.toml`` of the current folder if it exists, else the defaults.
        overrides: sections and keys that override the file, as ``{"markets": {"symbols": [...]}}``.

    Raises:
        ConfigurationError: the file is missing or broken, a key is unknown or a value out of range.
    """
    named = path is not None
    path = path or Path(CONFIG_NAME)
    content: TomlTable = {}
    if named or path.exists():
        content = read_toml(path, "the settings", ConfigurationError)
    if _has_secrets(content):
        raise ConfigurationError(
            f"{path}: secrets do not belong in the file. Set CANDLEWORKS_EXCHANGE__API_KEY and __API_SECRET, "
            "CANDLEWORKS_SEAL__WEBHOOK, or CANDLEWORKS_NOTICES__<NAME>_URL of a target, instead."
        )
    for section, values in (overrides or {}).items():
        content[section] = {**content.get(section, {}), **values}
    try:
        return _from_folder(Settings(**content), path.parent)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_first_problem(error)}. Correct or remove that key.") from error


def _from_folder(settings: Settings, folder: Path) -> Settings:
    """Resolve relative paths against a folder: a deployed flow runs in another one than the shell."""
    spaces = tuple(str(folder.resolve() / name) for name in settings.sweep.search_spaces)
    signals = tuple(str(folder.resolve() / name) for name in settings.trading.signals)
    url = settings.storage.url
    if url and "://" not in url and "::" not in url:
        url = str(folder.resolve() / url)
    roots = settings.seal.timestamp_roots and str(folder.resolve() / settings.seal.timestamp_roots)
    targets = tuple(
        target.model_copy(update={"path": str(folder.resolve() / target.path)}) if target.path else target
        for target in settings.notices.targets
    )
    return settings.model_copy(
        update={
            "sweep": settings.sweep.model_copy(update={"search_spaces": spaces}),
            "trading": settings.trading.model_copy(update={"signals": signals}),
            "notices": settings.notices.model_copy(update={"targets": targets}),
            "seal": settings.seal.model_copy(update={"timestamp_roots": roots}),
            "storage": settings.storage.model_copy(update={"url": url}),
        }
    )
