"""Settling: what usage was charged since the last entries comes in; `burn` entries for it go out (R38, R38a).

One entry per organisation and charge month (on Team: and lot) is made for all usage of a chunk. Burns take no `org_seq`
of their own, so that everybody else's does not depend on how records were cut into chunks.
"""

from collections.abc import Sequence

from pipeline.domain.booking import Booking
from pipeline.domain.state import Organization, OrganizationMonth, State
from pipeline.domain.wallet import burn
from schemas.events import LedgerEvent
from schemas.ledger import EntryCause, LedgerEntry
from schemas.month import Month


def settle(state: State, organization: Organization, at_micros: int) -> Sequence[LedgerEvent]:
    """Book what is unsettled: from the wallet's lots on Team, to `unbilled` on Enterprise."""
    unsettled = {month.month: month.unsettled_picousd for month in organization.months.values()}
    unsettled = {month: picousd for month, picousd in sorted(unsettled.items()) if picousd}
    if not unsettled:
        return ()
    for month in unsettled:
        organization.months[month].unsettled_picousd = 0
    cause = EntryCause(kind="usage", id=str(organization.org_seq))
    if organization.plan == "team":
        return burn(Booking(state, organization, organization.wallet, at_micros, cause=cause), unsettled)
    state.touch(organization)
    entries = []
    for month, picousd in unsettled.items():
        organization.unbilled_picousd -= picousd
        entries.append(
            LedgerEntry(
                org_id=organization.org_id,
                org_seq=organization.org_seq,
                at_micros=at_micros,
                type="burn",
                account="unbilled",
                amount_picousd=-picousd,
                balance_after_picousd=organization.unbilled_picousd,
                charge_month=Month.parse(month),
                cause=cause,
            )
        )
    return entries


def settle_all(state: State, at_micros: int) -> list[LedgerEvent]:
    """Book what the chunk charged, of every organisation."""
    charged = [cell.org_id for cell in state.changed if type(cell) is OrganizationMonth and cell.unsettled_picousd]
    entries: list[LedgerEvent] = []
    for org_id in dict.fromkeys(charged):
        entries += settle(state, state.organizations[org_id], at_micros)
    return entries
