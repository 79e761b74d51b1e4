// View 5, for everybody: what is left, why credits are paused and until when, and asking for more.

import { change } from "/page/api.js";
import { byId, fill, limitName, make, money, moneyOrUnlimited, problem, roleName, status, tierName, time, update } from "/page/show.js";

const WHY = {
  suspended: "Your organization is suspended. Ask an owner.",
  not_a_member: "You are no longer a member of this organization.",
  balance: "Your organization's balance is used up. Credits resume as soon as an owner buys more.",
  org_limit: "Your organization has reached its spend limit for this month.",
  tier_limit: "Your seat has reached its spend limit for this month.",
  user_limit: "You have reached your own spend limit for this month.",
};
let page;

export function start(context) {
  page = context;
  byId("mine").hidden = false;
  byId("mine-ask").onclick = ask;
}

export function show(member) {
  const { organization } = page;
  fill(byId("mine-status"), status(member));
  const left = member.headroom_usd;
  update(byId("mine-left"), member.allowed ? (left === null ? "No limit" : `${money(left)} left`) : left === null ? "Paused" : `${money(left)} left`);
  fill(byId("mine-why"), ...why(member));
  const facts = [
    ["Month to date", money(member.spend_usd)],
    ...member.limits.map((limit) => [`${limitName(limit.reason)}${limit.binds ? " (applies)" : ""}`, `${money(limit.spend_usd)} of ${money(limit.limit_usd)}`]),
    ...(member.limits.length ? [] : [["Limit", moneyOrUnlimited(null)]]),
    ["Seat", tierName(member.seat_tier)],
    ["Role", roleName(member.role)],
  ];
  const list = byId("mine-facts");
  if (list.children.length !== facts.length) fill(list, ...facts.map(() => make("div", {}, make("dt"), make("dd"))));
  facts.forEach(([name, text], index) => {
    const [term, value] = list.children[index].children;
    if (term.textContent !== name) value.textContent = "";
    term.textContent = name;
    update(value, text);
  });
  const button = byId("mine-ask");
  const isPending = member.request_id !== null;
  button.hidden = organization.plan !== "enterprise" || (!isPending && !organization.requests_enabled);
  button.disabled = isPending;
  button.textContent = isPending ? "Request sent to admin" : "Request usage credits";
}

function why(member) {
  const [first] = member.reasons;
  if (first === "disabled") {
    return [page.organization.credits_enabled
      ? "Usage credits are disabled for you. You can ask an admin to enable them."
      : "Usage credits are off for your organization. An owner can switch them on."];
  }
  if (!member.allowed) {
    const end = member.ends_at ? [" Paused until ", time(member.ends_at), ", or until a limit is raised."] : [" Paused until a limit is raised."];
    return [WHY[first] ?? "", ...(first.endsWith("_limit") ? end : [])];
  }
  return [member.headroom_usd === null
    ? "No limit applies to your usage credits this month."
    : "You can use this much beyond the usage included with your seat this month."];
}

async function ask() {
  const button = byId("mine-ask");
  problem(byId("mine-problem"));
  button.disabled = true;
  try {
    await change("POST", `${page.path}/credit-requests`, { kind: "credits" });
    button.textContent = "Request sent to admin";
    page.later();
  } catch (error) {
    button.disabled = false;
    problem(byId("mine-problem"), error.message);
  }
}
