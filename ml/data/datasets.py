"""Datasets: immutable, content-addressed exports of one series, for workers that never open the warehouse.

A dataset is a folder ``datasets/<id>/`` of plain ``.npy`` files and a manifest. The id is the SHA-256 of the content,
so the same candles and features give the same dataset, and a result that names its dataset can be recomputed. Arrays
are memory-mapped: all test cases on one machine share one copy in the page cache.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from ml.canonical import canonical_json
from ml.data.stored import Keys, object_bytes, read_object
from ml.data.targets import LABELS, NEXT_CANDLE, TARGETS
from ml.errors import CaseError, DamagedError, DatasetError
from ml.records import Manifest
from ml.series import Series
from ml.store import Store
from ml.texts import first_line

#: Version 1 had targets of three labels each, named in the manifest without their columns. It is still readable, since
#: results that name such a dataset must stay reproducible.
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, SCHEMA_VERSION)
_logger = logging.getLogger(__name__)

#: Keys of every manifest.
_MANIFEST: Keys = {
    "schema_version": int,
    "id": str,
    "series": dict,
    "timeframe_ms": int,
    "columns": list,
    "groups": list,
    "targets": (dict, list),
    "last_open_time_ms": int,
}
#: Columns of `Dataset.candles`.
CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
#: Prefix of these columns in lineages.
CANDLES_PREFIX = "candles."
#: File name -> attribute of `Dataset`.
ARRAYS = ("features", "labels", "candles", "open_time_ms", "run_length")


class KnownRows:
    """The rows at which columns of a matrix (n, f) are known, looked up once per column.

    Columns of the same lookback are known at the same rows, so there are far fewer patterns than columns. A pattern has
    one bit per row.
    """

    def __init__(self, matrix: npt.NDArray[np.float32]) -> None:
        self._matrix = matrix
        self._numbers: dict[bytes, int] = {}
        self._patterns: list[npt.NDArray[np.uint8]] = []
        self._pattern_of: dict[int, int] = {}

    def of(self, columns: Sequence[int]) -> npt.NDArray[np.bool_]:
        """(n,) rows at which all of the columns are known."""
        if new := [column for column in columns if column not in self._pattern_of]:
            self._look_up(new)
        patterns = {self._pattern_of[column] for column in columns}
        common = np.bitwise_and.reduce([self._patterns[number] for number in patterns])
        return np.unpackbits(common, count=len(self._matrix)).astype(bool)

    def _look_up(self, columns: list[int]) -> None:
        packed = np.packbits(np.isfinite(self._matrix[:, columns]), axis=0)
        for column, pattern in zip(columns, packed.T, strict=True):
            number = self._numbers.setdefault(pattern.tobytes(), len(self._patterns))
            if number == len(self._patterns):
                self._patterns.append(pattern.copy())
            self._pattern_of[column] = number


@dataclass(frozen=True, eq=False)
class Panel(Mapping[str, "Dataset"]):
    """Datasets of other markets by symbol, each read when it is first asked for."""

    readers: Mapping[str, Callable[[], Dataset]]
    _read: dict[str, Dataset] = field(default_factory=dict)

    def __getitem__(self, symbol: str) -> Dataset:
        if symbol not in self._read:
            self._read[symbol] = self.readers[symbol]()
        return self._read[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.readers))

    def __len__(self) -> int:
        return len(self.readers)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One series as arrays of n rows, oldest first; missing candles have no row, `run_length` shows the gaps.

    Attributes:
        series: exchange, symbol and timeframe.
        columns: names of the f feature columns.
        groups: the group of each column.
        features: (n, f) float32, NaN where a feature is not known.
        labels: (n, k) float64, the labels of all targets side by side; 0 or 1 for false or true; NaN where unknown.
        candles: (n, 5) float64, open high low close in quote units, volume in base units.
        open_time_ms: (n,) int64, milliseconds since 1970-01-01 UTC.
        run_length: (n,) int32, consecutive candles up to and with this one.
        timeframe_ms: length of a candle.
        targets: target -> names of its labels, in the order of the k columns of `labels`.
        fingerprints: column (of features, labels, and candles under `CANDLES_PREFIX`) -> hash of the formula it was
            computed by; empty in datasets of earlier versions.
        id: SHA-256 of all the above.
        horizons: target -> largest number of candles that its labels look ahead; empty in datasets of earlier versions.
        panel: the other markets of the same timeframe that were exported with this one. It is no part of the content:
            it is fixed when a dataset is first written.
    """

    series: Series
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float64]
    candles: npt.NDArray[np.float64]
    open_time_ms: npt.NDArray[np.int64]
    run_length: npt.NDArray[np.int32]
    timeframe_ms: int
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {NEXT_CANDLE: TARGETS[NEXT_CANDLE].labels})
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    horizons: Mapping[str, int] = field(default_factory=dict)
    panel: Panel = field(default_factory=lambda: Panel({}))

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Feature column -> its index."""
        return {name: place for place, name in enumerate(self.columns)}

    def known_rows(self, columns: Sequence[str]) -> npt.NDArray[np.bool_]:
        """(n,) rows at which all of the feature columns are known."""
        return self._known_rows.of([self.places[name] for name in columns])

    @cached_property
    def _known_rows(self) -> KnownRows:
        return KnownRows(self.features)

    def lineage(self, columns: Iterable[str]) -> dict[str, str]:
        """Column -> fingerprint of the given columns, where known."""
        return {name: self.fingerprints[name] for name in columns if name in self.fingerprints}

    def labels_of(self, target: str) -> npt.NDArray[np.float64]:
        """Labels (n, width of the target) of one target.

        Raises:
            CaseError: the dataset is older than the target, its timeframe does not have the target, or its labels look
                further ahead than the target declares, so that the purge of the splits would be too short.
        """
        if target not in self.targets:
            raise CaseError(f"Dataset {self.id} has no labels of {target!r}. Run `candleworks export`.")
        if target in TARGETS and self.horizons.get(target, 0) > TARGETS[target].horizon:
            raise CaseError(
                f"Labels of {target} in dataset {self.id} look {self.horizons[target]} candles ahead, its horizon in "
                f"ml/data/targets.py is {TARGETS[target].horizon}. "
                "Run `candleworks transform`, then `candleworks export`."
            )
        names = list(self.targets)
        first = sum(len(self.targets[name]) for name in names[: names.index(target)])
        return np.ascontiguousarray(self.labels[:, first : first + len(self.targets[target])])

    def identity(self) -> str:
        """SHA-256 over series, columns and the bytes of every array."""
        targets = [[name, labels] for name, labels in self.targets.items()]
        described = [SCHEMA_VERSION, self.series.model_dump(), self.columns, self.groups, targets]
        described += [dict(self.fingerprints)] if self.fingerprints else []
        total = hashlib.sha256(canonical_json(described).encode())
        for name in ARRAYS:
            total.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return total.hexdigest()[:32]

    def manifest(self, code_version: str) -> Manifest:
        """The content of ``manifest.json``: read by users, and to load the dataset."""
        gaps = np.diff(self.open_time_ms) > self.timeframe_ms
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "series": self.series.key,
            "timeframe_ms": self.timeframe_ms,
            "columns": list(self.columns),
            "groups": list(self.groups),
            "targets": {name: list(labels) for name, labels in self.targets.items()},
            "horizons": dict(self.horizons),
            "fingerprints": dict(self.fingerprints),
            "rows": len(self),
            "first_open_time_ms": int(self.open_time_ms[0]),
            "last_open_time_ms": int(self.open_time_ms[-1]),
            "gaps": int(gaps.sum()),
            "code_version": code_version,
        }


def write_dataset(store: Store, dataset: Dataset, code_version: str, panel: Mapping[str, str] | None = None) -> str:
    """Export a dataset and return its id; an existing dataset is left unchanged.

    Args:
        store: to write to.
        dataset: its content.
        code_version: of the code.
        panel: other market -> id of its dataset.
    """
    return write_manifest(store, write_arrays(store, dataset, code_version), panel or {})


def write_arrays(store: Store, dataset: Dataset, code_version: str) -> Manifest:
    """Write all of a dataset but its manifest, which is returned: without it a dataset is incomplete and ignored."""
    dataset_id = dataset.identity()
    folder = f"datasets/{dataset_id}"
    manifest: Manifest = {**dataset.manifest(code_version), "id": dataset_id}
    if store.exists(f"{folder}/manifest.json"):
        try:
            read_dataset(store, dataset_id)
            return manifest
        except DatasetError as error:  # written anew; the damaged folder is kept
            _logger.warning("%s It is set aside as %s and written anew.", error, store.set_aside(folder))
    for name in ARRAYS:
        buffer = io.BytesIO()
        # Labels are stored column by column, so that a worker reads only those of its target from disk.
        ordered = np.asfortranarray if name == "labels" else np.ascontiguousarray
        np.save(buffer, ordered(getattr(dataset, name)), allow_pickle=False)
        store.replace(f"{folder}/{name}.npy", buffer.getvalue())
    return manifest


def write_manifest(store: Store, manifest: Manifest, panel: Mapping[str, str]) -> str:
    """Complete a dataset whose arrays are written, and return its id; an existing manifest is left unchanged."""
    path = f"datasets/{manifest['id']}/manifest.json"
    if not store.exists(path):
        store.replace(path, object_bytes({**manifest, "panel": dict(panel)}, indent=1))
    return manifest["id"]


def read_manifest(store: Store, dataset_id: str) -> Manifest:
    """The manifest of a dataset.

    Raises:
        DatasetError: the store has no such dataset, or its manifest is damaged.
    """
    path = f"datasets/{dataset_id}/manifest.json"
    try:
        manifest: Manifest = read_object(store, path, _MANIFEST, _remedy(dataset_id))
        Series(**manifest["series"])
    except FileNotFoundError:
        raise DatasetError(f"No dataset {dataset_id} in {store.url}. Run `candleworks export`.") from None
    except (DamagedError, ValueError, TypeError) as error:
        raise _broken(dataset_id, error if isinstance(error, DamagedError) else f"{path} names no series") from None
    if manifest["id"] != dataset_id:
        raise _broken(dataset_id, f"{path} is that of another dataset")
    return manifest


def _remedy(dataset_id: str) -> str:
    return f"Restore datasets/{dataset_id} from a backup, or run `candleworks export` for a new one."


def _broken(dataset_id: str, why: object) -> DatasetError:
    text = str(why)
    remedy = _remedy(dataset_id)
    return DatasetError(text if remedy in text else f"Dataset {dataset_id} is damaged ({text}). {remedy}")


def read_dataset(store: Store, dataset_id: str) -> Dataset:
    """Load a dataset by mmap; its content is compared with its id, once per process.

    Raises:
        DatasetError: it is missing, damaged, or of another schema.
    """
    manifest = read_manifest(store, dataset_id)
    if manifest["schema_version"] not in READABLE_VERSIONS:
        raise DatasetError(
            f"Dataset {dataset_id} has schema {manifest['schema_version']}, this program reads up to {SCHEMA_VERSION}. "
            "Run `candleworks export` again."
        )
    try:
        arrays = {
            name: np.load(store.local_path(f"datasets/{dataset_id}/{name}.npy"), mmap_mode="r", allow_pickle=False)
            for name in ARRAYS
        }
    except (OSError, ValueError, EOFError) as error:
        raise _broken(dataset_id, f"it is incomplete: {first_line(error, 120)}") from error
    dataset = Dataset(
        series=Series(**manifest["series"]),
        columns=tuple(manifest["columns"]),
        groups=tuple(manifest["groups"]),
        targets=_manifest_targets(manifest),
        timeframe_ms=manifest["timeframe_ms"],
        fingerprints=manifest.get("fingerprints", {}),
        horizons=manifest.get("horizons", {}),
        id=dataset_id,
        panel=Panel({name: partial(read_dataset, store, other) for name, other in manifest.get("panel", {}).items()}),
        **arrays,
    )
    if manifest["schema_version"] == SCHEMA_VERSION:  # ids of version 1 were made from other content
        _check_content(store, dataset, manifest)
    return dataset


#: Files (path, inode, time of change) of the datasets whose content this process has compared with their ids.
_checked: set[tuple[tuple[str, int, int], ...]] = set()


def _check_content(store: Store, dataset: Dataset, manifest: Manifest) -> None:
    """Compare a dataset with its id: 6 ms per MB, so once per process and state of its files."""
    paths = [store.local_path(f"datasets/{dataset.id}/{name}.npy") for name in ARRAYS]
    key = tuple((str(path), path.stat().st_ino, path.stat().st_mtime_ns) for path in paths)
    if key in _checked:
        return
    if dataset.identity() != dataset.id:
        raise _broken(dataset.id, "its content is not the one that its id was made from")
    for name, value in dataset.manifest(manifest.get("code_version", "")).items():
        if manifest.get(name, value) != value:
            raise _broken(dataset.id, f"its manifest has another {name}")
    _checked.add(key)


def changed_columns(then: Mapping[str, str], now: Mapping[str, str], columns: Iterable[str]) -> list[str]:
    """The columns whose formula has changed; columns without a recorded fingerprint are not compared.

    Args:
        then: column -> recorded fingerprint.
        now: column -> current fingerprint.
        columns: which to compare.
    """
    return [name for name in columns if name in then and then[name] != now.get(name)]


def _manifest_targets(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    if manifest["schema_version"] == 1:
        return dict.fromkeys(manifest["targets"], LABELS)
    return {name: tuple(labels) for name, labels in manifest["targets"].items()}


def windows(features: npt.NDArray[np.float32], lags: int) -> npt.NDArray[np.float32]:
    """View (n - lags + 1, lags, f) of a matrix (n, f), without a copy: window i ends with row i + lags - 1."""
    view = np.lib.stride_tricks.sliding_window_view(features, lags, axis=0)
    return view.transpose(0, 2, 1)
