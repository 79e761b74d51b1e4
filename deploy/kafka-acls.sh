#!/bin/sh
# Made by `usage-credits topics acls`; each process its least rights. Run it as an administrator:
# KAFKA_ACLS='kafka-acls.sh --bootstrap-server HOST:PORT --command-config admin.properties' sh kafka-acls.sh
# Run it again after an upgrade: what is granted already stays as it is.
set -eu
: "${KAFKA_ACLS:?names the command that reaches your Kafka, see above}"

# ledger
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Read --operation Write --operation Describe --operation DescribeConfigs \
  --topic 'usage-events' \
  --topic 'account-commands' \
  --topic 'ledger-journal' \
  --topic 'seen-ids'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Write --operation Describe \
  --topic 'priced-usage' \
  --topic 'limit-breaches' \
  --topic 'account-events' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'reload-requests' \
  --topic 'notifications' \
  --topic 'credit-status' \
  --topic 'dead-letters'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Describe \
  --topic 'member-contacts' \
  --topic 'mails' \
  --topic 'dead-letter-decisions'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Read --operation Write --operation Describe \
  --topic 'ledger-state'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Read --operation Describe \
  --topic 'log-id'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Read \
  --group 'ledger'
$KAFKA_ACLS --add --force --allow-principal 'User:ledger' --operation Write \
  --resource-pattern-type prefixed \
  --transactional-id 'ledger-'

# sink
$KAFKA_ACLS --add --force --allow-principal 'User:sink' --operation Describe --operation DescribeConfigs \
  --topic 'usage-events' \
  --topic 'account-commands' \
  --topic 'ledger-journal'
$KAFKA_ACLS --add --force --allow-principal 'User:sink' --operation Read --operation Describe \
  --topic 'priced-usage' \
  --topic 'limit-breaches' \
  --topic 'account-events' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'credit-status' \
  --topic 'dead-letters' \
  --topic 'dead-letter-decisions' \
  --topic 'log-id'
$KAFKA_ACLS --add --force --allow-principal 'User:sink' --operation Describe \
  --topic 'reload-requests' \
  --topic 'notifications' \
  --topic 'member-contacts' \
  --topic 'mails' \
  --topic 'ledger-state' \
  --topic 'seen-ids'
$KAFKA_ACLS --add --force --allow-principal 'User:sink' --operation Read \
  --group 'sink'

# gate
$KAFKA_ACLS --add --force --allow-principal 'User:gate' --operation Write --operation Describe --operation DescribeConfigs \
  --topic 'usage-events' \
  --topic 'account-commands'
$KAFKA_ACLS --add --force --allow-principal 'User:gate' --operation Describe \
  --topic 'priced-usage' \
  --topic 'limit-breaches' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'reload-requests' \
  --topic 'notifications' \
  --topic 'mails' \
  --topic 'dead-letters' \
  --topic 'dead-letter-decisions' \
  --topic 'ledger-state' \
  --topic 'seen-ids'
$KAFKA_ACLS --add --force --allow-principal 'User:gate' --operation Read --operation Describe \
  --topic 'account-events' \
  --topic 'credit-status' \
  --topic 'log-id'
$KAFKA_ACLS --add --force --allow-principal 'User:gate' --operation Read --operation Write --operation Describe \
  --topic 'member-contacts'
$KAFKA_ACLS --add --force --allow-principal 'User:gate' --operation Describe --operation DescribeConfigs \
  --topic 'ledger-journal'

# mailer
$KAFKA_ACLS --add --force --allow-principal 'User:mailer' --operation Describe --operation DescribeConfigs \
  --topic 'usage-events' \
  --topic 'account-commands' \
  --topic 'ledger-journal'
$KAFKA_ACLS --add --force --allow-principal 'User:mailer' --operation Describe \
  --topic 'priced-usage' \
  --topic 'account-events' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'reload-requests' \
  --topic 'dead-letters' \
  --topic 'dead-letter-decisions' \
  --topic 'ledger-state' \
  --topic 'seen-ids'
$KAFKA_ACLS --add --force --allow-principal 'User:mailer' --operation Read --operation Describe \
  --topic 'limit-breaches' \
  --topic 'notifications' \
  --topic 'credit-status' \
  --topic 'member-contacts' \
  --topic 'log-id'
$KAFKA_ACLS --add --force --allow-principal 'User:mailer' --operation Read --operation Write --operation Describe \
  --topic 'mails'
$KAFKA_ACLS --add --force --allow-principal 'User:mailer' --operation Read \
  --group 'mailer'

# products
$KAFKA_ACLS --add --force --allow-principal 'User:products' --operation Write \
  --topic 'usage-events'
$KAFKA_ACLS --add --force --allow-principal 'User:products' --operation Read \
  --topic 'limit-breaches' \
  --topic 'credit-status'
$KAFKA_ACLS --add --force --allow-principal 'User:products' --operation Read \
  --resource-pattern-type prefixed \
  --group 'products'

# billing
$KAFKA_ACLS --add --force --allow-principal 'User:billing' --operation Read \
  --topic 'limit-breaches' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'reload-requests'
$KAFKA_ACLS --add --force --allow-principal 'User:billing' --operation Read \
  --resource-pattern-type prefixed \
  --group 'billing'

# analysts
$KAFKA_ACLS --add --force --allow-principal 'User:analysts' --operation Read \
  --topic 'priced-usage'
$KAFKA_ACLS --add --force --allow-principal 'User:analysts' --operation Read \
  --resource-pattern-type prefixed \
  --group 'analysts'

# operator
$KAFKA_ACLS --add --force --allow-principal 'User:operator' --operation Read --operation Write --operation Alter --operation AlterConfigs --operation Describe --operation DescribeConfigs \
  --topic 'usage-events' \
  --topic 'account-commands' \
  --topic 'priced-usage' \
  --topic 'limit-breaches' \
  --topic 'account-events' \
  --topic 'ledger-entries' \
  --topic 'invoices' \
  --topic 'reload-requests' \
  --topic 'notifications' \
  --topic 'credit-status' \
  --topic 'member-contacts' \
  --topic 'mails' \
  --topic 'dead-letters' \
  --topic 'dead-letter-decisions' \
  --topic 'ledger-state' \
  --topic 'ledger-journal' \
  --topic 'seen-ids' \
  --topic 'log-id'
$KAFKA_ACLS --add --force --allow-principal 'User:operator' --operation Create --operation Describe \
  --cluster
$KAFKA_ACLS --add --force --allow-principal 'User:operator' --operation Read --operation Delete \
  --group 'ledger' \
  --group 'sink' \
  --group 'mailer'
$KAFKA_ACLS --add --force --allow-principal 'User:operator' --operation Write \
  --transactional-id 'dead-letters'
$KAFKA_ACLS --add --force --allow-principal 'User:operator' --operation Write \
  --resource-pattern-type prefixed \
  --transactional-id 'ledger-'
