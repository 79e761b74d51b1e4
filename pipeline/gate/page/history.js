// View 6, its past: limits that were reached, for admins and above; who changed what, for owners.

import { get } from "/page/api.js";
import { byId, make, fill, limitAfter, limitNow, money, moneyOrUnlimited, roleName, tierName, time } from "/page/show.js";

const PAGE_SIZE = 20;
const SOURCES = { breaches: breachSaid, "audit-log": changeSaid };
let page;
let shown = PAGE_SIZE;

export function start(context) {
  page = context;
  byId("history").hidden = false;
  byId("earlier").onclick = async () => {
    shown += PAGE_SIZE;
    await refresh().catch(page.trouble);
  };
}

export async function refresh() {
  const names = page.isOwner ? Object.keys(SOURCES) : ["breaches"];
  const limit = Math.min(shown + 1, 1000);
  const found = await Promise.all(names.map(async (name) => {
    const { rows } = await get(`${page.path}/${name}`, { limit });
    return rows.map((row) => ({ ...row, name }));
  }));
  const rows = found.flat().sort((one, other) => other.org_seq - one.org_seq);
  fill(byId("history-rows"), ...rows.slice(0, shown).map((row) => make("li", { class: row.name === "breaches" ? "reached" : "" },
    make("span", {}, SOURCES[row.name](row)), time(row.at))));
  byId("history-empty").hidden = rows.length > 0;
  byId("earlier").hidden = rows.length <= shown || shown >= 1000;
}

function breachSaid(row) {
  const whose = row.scope_kind === "organization" ? "The organization"
    : row.scope_kind === "tier" ? `${tierName(row.seat_tier)} seats` : row.user_id;
  const limit = row.scope_kind === "member" && row.seat_tier ? `the ${tierName(row.seat_tier)} seat limit` : "the limit";
  const over = Number(row.overshoot_usd) > 0 ? `, ${money(row.overshoot_usd)} over` : "";
  const ended = row.resumed_at === null ? "" : " The pause has ended.";
  return `${whose} reached ${limit} of ${money(row.limit_usd)}${over}.${ended}`;
}

const onOff = (isOn) => (isOn ? "on" : "off");
const toFrom = (before, after) => `from ${moneyOrUnlimited(limitNow(limitAfter(before)))} to ${moneyOrUnlimited(limitNow(limitAfter(after)))}${after.raise_month ? " for this month" : ""}`;
const CHANGES = {
  register_organization: (b, a) => `registered the organization, owned by ${a.primary_owner}`,
  suspend_organization: () => "suspended the organization",
  reinstate_organization: () => "reinstated the organization",
  close_organization: () => "closed the organization",
  change_plan: (b, a) => `changed the plan to ${tierName(a.plan)}`,
  set_credits: (b, a) => `switched usage credits ${onOff(a.credits_enabled)}`,
  set_member_default: (b, a) => `switched credits ${onOff(a.member_default)} for members without a switch of their own`,
  set_member_credits: (b, a) => (a.credits_enabled === null ? `took away the switch of ${b.user_id}` : `switched credits of ${b.user_id} ${onOff(a.credits_enabled)}`),
  set_contact: (b, a) => `changed ${a.fields.map((field) => field.replace("_", " ")).join(", ")} of ${a.user_id}`,
  set_thresholds: (b, a) => `asked for notices at ${a.percents.map((percent) => `${percent} %`).join(", ") || "no share"} of limits`,
  set_balance_notice: (b, a) => (a.threshold_usd === null ? "switched off the notice of a low balance" : `asked for a notice when the balance falls to ${money(a.threshold_usd)}`),
  set_organization_limit: (b, a) => `changed the organization limit ${toFrom(b, a)}`,
  set_tier_limit: (b, a) => `changed the limit of ${tierName(a.seat_tier)} seats ${toFrom(b, a)}`,
  set_user_limit: (b, a) => `changed the limit of ${b.user_id} ${toFrom(b, a)}`,
  set_requests_enabled: (b, a) => `switched requests ${onOff(a.requests_enabled)}`,
  set_auto_reload: (b, a) => `switched auto-reload ${onOff(a.enabled)}`,
  buy_credits: (b, a) => `asked for credits of ${money(a.amount_usd)}`,
  confirm_payment: (b, a) => `confirmed a payment of ${money(a.amount_usd)}`,
  report_reload_paid: (b, a) => `reported a reload of ${money(a.amount_usd)} as paid`,
  grant_credits: (b, a) => `granted credits of ${money(a.amount_usd)}`,
  report_reload_failed: () => "reported that a reload could not be paid",
  refund_purchase: (b, a) => `refunded ${money(a.amount_usd)}`,
  adjust: (b, a) => `adjusted the balance by ${a.direction === "debit" ? "−" : "+"}${money(a.amount_usd)}: ${a.note}`,
  issue_credit_note: (b, a) => `issued a credit note of ${money(a.amount_usd)} on invoice ${a.invoice_number}: ${a.note}`,
  add_member: (b, a) => `added ${a.user_id}: ${roleName(a.role)}, ${tierName(a.seat_tier)} seat`,
  remove_member: (b) => `removed ${b.user_id}`,
  set_role: (b, a) => `made ${a.user_id} ${roleName(a.role)}`,
  hand_over_ownership: (b, a) => `handed ownership over to ${a.primary_owner}`,
  assign_seat: (b, a) => `gave ${b.user_id} a ${tierName(a.seat_tier)} seat`,
  request_credits: (b, a) => `asked for ${a.kind === "premium_seat" ? "a Premium seat" : "usage credits"}`,
  approve_request: (b, a) => `approved the request of ${a.user_id}`,
  deny_request: (b, a) => `denied the request of ${a.user_id}`,
};

function changeSaid(row) {
  const plain = row.command.replaceAll("_", " ");
  if (row.type.endsWith(".refused")) return `${row.actor_id} was refused: ${plain} (${row.reason.replaceAll("_", " ")}).`;
  if (row.type.endsWith(".repeated")) return `${row.actor_id} sent the same change again; nothing happened.`;
  const { before = {}, after = {} } = JSON.parse(row.event).data;
  let said = plain;
  try {
    said = CHANGES[row.command]?.(before, after) ?? plain;
  } catch {
    // A field that this page does not expect: the command's name says enough.
  }
  return `${row.actor_id} ${said}.`;
}
