-- What customers paid of invoices, and what is open (docs/rules.md R38; "Billing, in full", readings 52-54).
ALTER TABLE billing_events
    COMMENT COLUMN type 'usage-credits.invoice.drafted | .invoice.finalized | .invoice.continued | .credit_note.issued | .payment.received | .statement.issued',
    COMMENT COLUMN invoice_number 'the invoice that a credit note takes back, or a payment pays, in part or whole',
    COMMENT COLUMN amount_usd 'US dollars, whole cents: of a credit note or payment, else 0';

CREATE OR REPLACE VIEW invoice_payments AS
SELECT
    org_id, invoice_number, JSONExtractString(event, 'data', 'payment_id') AS payment_id, amount_usd, at, org_seq
FROM billing_events
WHERE type = 'usage-credits.payment.received'
COMMENT 'What customers paid of invoices, a row per payment; US dollars. Nothing of it goes to a wallet';

-- An invoice without a number has nothing to pay.
CREATE OR REPLACE VIEW open_invoices AS
SELECT
    org_id, number, month, part, at, due_usd,
    ifNull(credited, toDecimal128(0, 12)) AS credited_usd,
    ifNull(paid, toDecimal128(0, 12))     AS paid_usd,
    due_usd - credited_usd - paid_usd     AS open_usd,
    paid_at
FROM (SELECT * FROM invoices WHERE state = 'finalized' AND number IS NOT NULL) AS finalized
LEFT JOIN
(
    SELECT
        org_id, invoice_number AS number,
        sumIf(amount_usd, type = 'usage-credits.credit_note.issued')  AS credited,
        sumIf(amount_usd, type = 'usage-credits.payment.received')    AS paid,
        maxOrNullIf(at, type = 'usage-credits.payment.received')      AS paid_at
    FROM billing_events
    WHERE invoice_number IS NOT NULL
    GROUP BY org_id, invoice_number
) AS settled USING (org_id, number)
COMMENT 'What is open of each invoice that has a number: due_usd less credit notes and payments; US dollars. Paid is what has open_usd 0; below 0 the customer has a credit, since a credit note took back what was paid. paid_at is when the last payment came, null: none. Who owes most: SELECT org_id, sum(open_usd) AS owed FROM open_invoices GROUP BY org_id ORDER BY owed DESC';
