"""Failures as ClickHouse words them: an exception in, its code, its text and an HTTP status out."""

import re
from collections.abc import Mapping

# The statuses ClickHouse's own HTTP handler gives these codes; every other code is 500.
_CODES_OF_STATUS: Mapping[int, tuple[int, ...]] = {
    400: (6, 26, 27, 36, 38, 41, 42, 43, 44, 47, 53, 62, 69, 70, 72, 117, 130, 131, 349, 386, 456, 457),
    403: (164, 192, 193, 452, 497, 516),
    404: (16, 46, 60, 63, 81, 82, 115, 372),
    408: (159,),
    413: (307, 396),
    500: (394,),
    501: (48,),
    503: (202, 439),
}
_STATUS_OF_CODE = {code: status for status, codes in _CODES_OF_STATUS.items() for code in codes}
_ENGINE_TEXT = re.compile(r"Code: (\d+)\. .*", re.DOTALL)


class ClickHouseError(Exception):
    """A request that failed: ClickHouse's code and text, and the HTTP status that goes with them."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS_OF_CODE.get(code, 500)


def refusal(code: int, name: str, text: str) -> ClickHouseError:
    """A failure of our own, worded as the engine words its own."""
    return ClickHouseError(code, f"Code: {code}. DB::Exception: {text}. ({name})")


def as_clickhouse_error(error: BaseException) -> ClickHouseError:
    """Any exception as a failure with a code; what the engine raised keeps its own."""
    if isinstance(error, ClickHouseError):
        return error
    found = _ENGINE_TEXT.search(str(error))
    if found:
        return ClickHouseError(int(found[1]), found[0])
    return refusal(1002, "UNKNOWN_EXCEPTION", str(error) or type(error).__name__)
