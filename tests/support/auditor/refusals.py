"""Why a command is refused: every reason, in the order in which they are looked for; the first that fits goes out."""

UNKNOWN_ORGANIZATION = "unknown_organization"
COMMAND_ID_REUSED = "command_id_reused"
NOT_ALLOWED = "not_allowed"
ALREADY_REGISTERED = "already_registered"
ALREADY_CLOSED = "already_closed"
ORGANIZATION_CLOSED = "organization_closed"
NOT_ON_TEAM = "not_on_team"
NOT_ON_ENTERPRISE = "not_on_enterprise"
SAME_PLAN = "same_plan"
AMOUNT_IS_ZERO = "amount_is_zero"
AMOUNT_NOT_ABOVE_THRESHOLD = "amount_not_above_threshold"
MAXIMUM_BELOW_AMOUNT = "maximum_below_amount"
ALREADY_EXPIRED = "already_expired"
UNKNOWN_MEMBER = "unknown_member"
ALREADY_A_MEMBER = "already_a_member"
ONE_PRIMARY_OWNER = "one_primary_owner"
NOT_A_RAISE = "not_a_raise"
UNKNOWN_RELOAD = "unknown_reload"
RELOAD_ANSWERED = "reload_answered"
PAYMENT_ID_USED = "payment_id_used"
UNKNOWN_PAYMENT = "unknown_payment"
MORE_THAN_UNBURNT = "more_than_unburnt"
UNKNOWN_INVOICE = "unknown_invoice"
MORE_THAN_INVOICED = "more_than_invoiced"
MORE_THAN_DUE = "more_than_due"
REQUESTS_DISABLED = "requests_disabled"
ALREADY_ON_PREMIUM = "already_on_premium"
UNKNOWN_REQUEST = "unknown_request"
REQUEST_CLOSED = "request_closed"
OWN_REQUEST = "own_request"
CREDITS_DISABLED = "credits_disabled"
LIMIT_NOT_ABOVE_SPEND = "limit_not_above_spend"

REASONS = {
    UNKNOWN_ORGANIZATION: "nobody registered it",
    COMMAND_ID_REUSED: "the id was answered within horizon_days, for another command",
    NOT_ALLOWED: "the actor's kind, scope or role does not permit it, or who it is about has a higher role",
    ALREADY_REGISTERED: "an organisation is registered once, closed or not",
    ALREADY_CLOSED: "closing a closed organisation",
    ORGANIZATION_CLOSED: "anything else about a closed organisation, but credit notes and payments of its invoices",
    NOT_ON_TEAM: "seat-tier limits and requests are Enterprise's",
    NOT_ON_ENTERPRISE: "buying credits, auto-reload and balance notices are Team's",
    SAME_PLAN: "change_plan to the plan it has",
    AMOUNT_IS_ZERO: "a purchase, payment, refund, grant, adjustment, credit note or reload of 0",
    AMOUNT_NOT_ABOVE_THRESHOLD: "a reload must lift the balance above the threshold it begins at",
    MAXIMUM_BELOW_AMOUNT: "a monthly maximum without room for one reload",
    ALREADY_EXPIRED: "a grant whose expiry is not after its arrival",
    UNKNOWN_MEMBER: "the user is no member now (contacts: was never one)",
    ALREADY_A_MEMBER: "adding who is a member now",
    ONE_PRIMARY_OWNER: "there would be none, or two",
    NOT_A_RAISE: "this_month_only, and the limit would not be above the one that holds now",
    UNKNOWN_RELOAD: "no reload with this id was requested",
    RELOAD_ANSWERED: "it was paid, or has failed and fails again",
    PAYMENT_ID_USED: "a purchase, reload, refund or payment of an invoice had this payment id",
    UNKNOWN_PAYMENT: "no purchase or reload was paid under this id",
    MORE_THAN_UNBURNT: "a refund beyond the unburnt rest of its purchase",
    UNKNOWN_INVOICE: "no invoice has this number",
    MORE_THAN_INVOICED: "with the credit notes it has already, more than the invoice's total",
    MORE_THAN_DUE: "with its credit notes and the payments it has already, more than is due of the invoice",
    REQUESTS_DISABLED: "requests are switched off",
    ALREADY_ON_PREMIUM: "asking for the seat one has",
    UNKNOWN_REQUEST: "no request has this id",
    REQUEST_CLOSED: "it was approved, denied or closed",
    OWN_REQUEST: "nobody approves their own",
    CREDITS_DISABLED: "approving does not switch the organisation's credits on",
    LIMIT_NOT_ABOVE_SPEND: "the limit approved is not above the month to date",
}
