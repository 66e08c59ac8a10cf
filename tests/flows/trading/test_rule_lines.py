"""What a run says about the rules that it chose, and about those that it could not choose."""

from __future__ import annotations

from flows.trading.rules import _say


class Said:
    """A step that keeps its lines."""

    def __init__(self) -> None:
        self.line, self.warnings = "", []  # type: tuple[str, list[str]]

    def share(self, share: float) -> None:
        """Ignored."""

    def count(self, done: int, total: int) -> None:
        """Ignored."""

    def say(self, line: object) -> None:
        self.line = str(line)

    def warn(self, line: str) -> None:
        self.warnings.append(line)


def test_each_reason_is_one_line_however_many_signals_have_it() -> None:
    step = Said()
    _say(
        step,
        [{"is_shown": True}, {"is_shown": False}],
        {"no result": ["A 1h one", "A 1h two", "B 1h one"], "x": ["C 4h one"]},
    )
    assert step.line == "2 chosen, 1 of them shown better than holding; 4 without a rule"
    assert step.warnings == ["No rule of A 1h one and 2 others: no result", "No rule of C 4h one: x"]
