-- What the columns of the first views hold (R42); the views themselves stay as they are.

ALTER TABLE month_to_date_by_member
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN user_id 'member',
    COMMENT COLUMN spend_usd 'US dollars: credits used in the month; what limits count',
    COMMENT COLUMN included_value_usd 'US dollars: what included usage would have cost (R8)',
    COMMENT COLUMN prior_period_usd 'US dollars: credits used in an earlier month, charged in this one (R19)',
    COMMENT COLUMN after_pause_usd 'US dollars: of spend_usd what was used after a pause (R20)',
    COMMENT COLUMN credits_events 'usage events of spend_usd',
    COMMENT COLUMN included_events 'usage events included in the seat',
    COMMENT COLUMN last_used_at 'when the last of them happened',
    MODIFY COMMENT 'Month to date of each member. SELECT * FROM month_to_date_by_member WHERE org_id = ''acme'' AND month = ''2026-02''';

ALTER TABLE month_to_date_by_tier
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN seat_tier 'standard | premium, as held when it was used (R20a)',
    COMMENT COLUMN spend_usd 'US dollars: credits used in the month; what limits count',
    COMMENT COLUMN included_value_usd 'US dollars: what included usage would have cost (R8)',
    COMMENT COLUMN prior_period_usd 'US dollars: credits used in an earlier month, charged in this one (R19)',
    COMMENT COLUMN after_pause_usd 'US dollars: of spend_usd what was used after a pause (R20)',
    COMMENT COLUMN credits_events 'usage events of spend_usd',
    COMMENT COLUMN included_events 'usage events included in the seat',
    COMMENT COLUMN last_used_at 'when the last of them happened',
    MODIFY COMMENT 'Month to date of each seat tier; what was spent in one stays in it when a member changes seats (R30). SELECT * FROM month_to_date_by_tier WHERE org_id = ''acme'' AND month = ''2026-02''';

ALTER TABLE month_to_date_by_organization
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN spend_usd 'US dollars: credits used in the month; what limits count',
    COMMENT COLUMN included_value_usd 'US dollars: what included usage would have cost (R8)',
    COMMENT COLUMN prior_period_usd 'US dollars: credits used in an earlier month, charged in this one (R19)',
    COMMENT COLUMN after_pause_usd 'US dollars: of spend_usd what was used after a pause (R20)',
    COMMENT COLUMN credits_events 'usage events of spend_usd',
    COMMENT COLUMN included_events 'usage events included in the seat',
    COMMENT COLUMN last_used_at 'when the last of them happened',
    MODIFY COMMENT 'Month to date of each organisation. SELECT * FROM month_to_date_by_organization WHERE org_id = ''acme'' AND month = ''2026-02''';

ALTER TABLE breaches
    COMMENT COLUMN id 'id of the CloudEvent',
    COMMENT COLUMN at 'arrival of the record that caused it (R44)',
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)',
    COMMENT COLUMN scope_kind 'organization | tier | member',
    COMMENT COLUMN seat_tier 'the tier, or the tier whose each_member limit it is; else empty',
    COMMENT COLUMN user_id 'the member, else empty',
    COMMENT COLUMN month 'like 2026-02',
    COMMENT COLUMN limit_version 'grows with each change of the limit (R29)',
    COMMENT COLUMN episode 'grows with each resume (R29)',
    COMMENT COLUMN limit_usd 'US dollars',
    COMMENT COLUMN spend_usd 'US dollars, spend of the scope in the month at that moment',
    COMMENT COLUMN overshoot_usd 'US dollars over the limit at the crossing (R25)',
    COMMENT COLUMN cause 'usage | correction | limit_changed | seat_changed | plan_changed (R27, R28)',
    COMMENT COLUMN crossing_event_id 'the usage event that crossed, empty if a command did',
    COMMENT COLUMN crossing_source 'its source',
    COMMENT COLUMN paused_from 'the pause begins (R19)',
    COMMENT COLUMN paused_until 'the pause ends at the latest: the end of the month (R27)',
    COMMENT COLUMN resumed_at 'when it ended before that; null: it did not',
    MODIFY COMMENT 'Each breach of a spend limit, and when its pause ended before its time, if it did (R24-R28)';

ALTER TABLE invoices
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN part 'counts the invoices of the month, from 1',
    COMMENT COLUMN state 'draft | finalized',
    COMMENT COLUMN number 'counts the organisation''s invoices; null: a draft, or a suppressed zero invoice (R39)',
    COMMENT COLUMN reason 'why it was finalised: month_closed | plan_changed | organization_closed; empty: a draft',
    COMMENT COLUMN at 'the instant it was due, or arrival of the command that caused it',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)',
    COMMENT COLUMN line_count 'how many lines it has',
    COMMENT COLUMN exact_usd 'US dollars, exact: what the usage on it costs',
    COMMENT COLUMN total_usd 'US dollars, whole cents: all lines, or 0 where that is below zero (R39)',
    COMMENT COLUMN carried_usd 'US dollars, whole cents, 0 or below: a line of the next invoice',
    COMMENT COLUMN offset_usd 'US dollars: of the total what the wallet paid',
    COMMENT COLUMN due_usd 'US dollars: total less offset';

ALTER TABLE invoice_lines
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN part 'counts the invoices of the month, from 1',
    COMMENT COLUMN state 'draft | finalized',
    COMMENT COLUMN number 'of the invoice; null: none',
    COMMENT COLUMN line_number 'counts the lines, from 1',
    COMMENT COLUMN kind 'usage | carried | debt',
    COMMENT COLUMN usage_month 'month it was used in; differs from month on prior-period lines (R19)',
    COMMENT COLUMN product 'where it was used',
    COMMENT COLUMN model 'the name its prices go by',
    COMMENT COLUMN price_id 'model@first day of its price block, and variants (R12)',
    COMMENT COLUMN token_kind 'what is counted, such as output_tokens',
    COMMENT COLUMN quantity 'tokens or searches; below zero where corrections took back more',
    COMMENT COLUMN rate_usd 'US dollars each',
    COMMENT COLUMN exact_usd 'US dollars, exact: quantity times rate_usd',
    COMMENT COLUMN amount_usd 'US dollars, whole cents; all lines add up to the invoice';

ALTER TABLE charged_usage
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN charge_month 'month it is charged in, like 2026-02',
    COMMENT COLUMN usage_month 'month it was used in',
    COMMENT COLUMN user_id 'member',
    COMMENT COLUMN event_id 'of the usage event',
    COMMENT COLUMN source 'of the usage event; may be empty (R14)',
    COMMENT COLUMN occurred_at 'when the request happened',
    COMMENT COLUMN corrects 'event_id that this row corrects, or empty (R15)',
    COMMENT COLUMN leg '0: the row, or the reverse of a correction; 1: its rebooking (R15)',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)',
    COMMENT COLUMN product 'where it was used',
    COMMENT COLUMN model 'the name its prices go by',
    COMMENT COLUMN price_id 'model@first day of its price block, and variants (R12)',
    COMMENT COLUMN token_kind 'what is counted, such as output_tokens',
    COMMENT COLUMN quantity 'tokens or searches; negative on a reverse',
    COMMENT COLUMN exact_usd 'US dollars, exact',
    COMMENT COLUMN account 'wallet (Team) | unbilled (Enterprise); empty: its burn is not stored yet',
    COMMENT COLUMN part 'that of the invoice it is on; 0: none yet';

ALTER TABLE draft_lines
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN usage_month 'month it was used in',
    COMMENT COLUMN product 'where it was used',
    COMMENT COLUMN model 'the name its prices go by',
    COMMENT COLUMN price_id 'model@first day of its price block, and variants (R12)',
    COMMENT COLUMN token_kind 'what is counted, such as output_tokens',
    COMMENT COLUMN quantity 'tokens or searches',
    COMMENT COLUMN rate_usd 'US dollars each',
    COMMENT COLUMN exact_usd 'US dollars, exact: quantity times rate_usd';

ALTER TABLE invoice_line_events
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN part 'counts the invoices of the month, from 1',
    COMMENT COLUMN number 'of the invoice; null: none',
    COMMENT COLUMN line_number 'of the line',
    COMMENT COLUMN usage_month 'month it was used in',
    COMMENT COLUMN product 'where it was used',
    COMMENT COLUMN price_id 'model@first day of its price block, and variants (R12)',
    COMMENT COLUMN token_kind 'what is counted, such as output_tokens',
    COMMENT COLUMN rate_usd 'US dollars each',
    COMMENT COLUMN user_id 'member',
    COMMENT COLUMN event_id 'of the usage event',
    COMMENT COLUMN source 'of the usage event; may be empty (R14)',
    COMMENT COLUMN occurred_at 'when the request happened',
    COMMENT COLUMN corrects 'event_id that this row corrects, or empty (R15)',
    COMMENT COLUMN leg '0: the row, or the reverse of a correction; 1: its rebooking (R15)',
    COMMENT COLUMN quantity 'tokens or searches of this event',
    COMMENT COLUMN exact_usd 'US dollars, exact, of this event';

ALTER TABLE credit_notes
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN number 'counts the organisation''s credit notes',
    COMMENT COLUMN invoice_number 'the invoice it takes back, in part or whole',
    COMMENT COLUMN amount_usd 'US dollars, whole cents',
    COMMENT COLUMN note 'why, in words',
    COMMENT COLUMN at 'arrival of the command',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)';

ALTER TABLE statements
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN month 'like 2026-02',
    COMMENT COLUMN opening_usd 'US dollars, exact: closing_usd of the month before (R40)',
    COMMENT COLUMN purchase_usd 'US dollars, exact: credits bought',
    COMMENT COLUMN grant_usd 'US dollars, exact: credits granted',
    COMMENT COLUMN burn_usd 'US dollars, exact, below zero: used',
    COMMENT COLUMN refund_usd 'US dollars, exact, below zero: given back',
    COMMENT COLUMN adjust_usd 'US dollars, exact: put right by hand',
    COMMENT COLUMN offset_usd 'US dollars, exact: set against invoices (R7)',
    COMMENT COLUMN expiry_usd 'US dollars, exact, below zero: expired',
    COMMENT COLUMN closing_usd 'US dollars, exact: opening_usd and all between',
    COMMENT COLUMN at 'when the month closed',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)';

ALTER TABLE wallet_balances
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN balance_usd 'US dollars, exact: the sum of the wallet''s entries; below zero: owed',
    COMMENT COLUMN moved_at 'when the last entry was made';

ALTER TABLE double_entry
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN charge_month 'month it counts in, like 2026-02',
    COMMENT COLUMN entry_id 'id of the ledger entry',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)',
    COMMENT COLUMN at 'when it was made (R44)',
    COMMENT COLUMN type 'purchase | grant | burn | refund | adjust | invoice | offset | expiry | payment | rounding (R38)',
    COMMENT COLUMN account 'the book-keeping account, such as cash or revenue; unknown: nothing books this',
    COMMENT COLUMN debit_usd 'US dollars, exact; 0 on a credit',
    COMMENT COLUMN credit_usd 'US dollars, exact; 0 on a debit';

ALTER TABLE invoice_payments
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN invoice_number 'the invoice that was paid, in part or whole',
    COMMENT COLUMN payment_id 'of the payment service, once for ever',
    COMMENT COLUMN amount_usd 'US dollars, whole cents',
    COMMENT COLUMN at 'arrival of the command',
    COMMENT COLUMN org_seq 'rises with every output of the organisation (R29)';

ALTER TABLE open_invoices
    COMMENT COLUMN org_id 'organisation',
    COMMENT COLUMN number 'of the invoice, counted per organisation without gaps',
    COMMENT COLUMN month 'charge month, like 2026-02',
    COMMENT COLUMN part 'counts the invoices of a charge month, from 1',
    COMMENT COLUMN at 'when it was finalised',
    COMMENT COLUMN due_usd 'US dollars, whole cents: total less what the wallet paid',
    COMMENT COLUMN credited_usd 'US dollars, whole cents: taken back by credit notes',
    COMMENT COLUMN paid_usd 'US dollars, whole cents: payments',
    COMMENT COLUMN open_usd 'US dollars, whole cents: left to pay; below 0 a credit of the customer',
    COMMENT COLUMN paid_at 'when the last payment came, null: none';
