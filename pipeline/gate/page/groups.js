// View 2, on Enterprise: Standard and Premium seats, what they spent, and the limit of each group.

import { change, get } from "/page/api.js";
import { limitDialog } from "/page/dialogs.js";
import { menuButton } from "/page/menu.js";
import { byId, count, fill, limitAfter, limitNow, make, money, moneyOrUnlimited, say, tierName, update } from "/page/show.js";

const BASIS = { each_member: "Each member", whole_tier: "Whole group" };
let page;
const tiers = new Map();

export function start(context) {
  page = context;
}

export async function refresh() {
  byId("groups").hidden = page.organization.plan !== "enterprise";
  if (byId("groups").hidden) return;
  const { seat_tiers } = await get(`${page.path}/seat-tiers`);
  for (const tier of seat_tiers) merge(tier);
}

// A tier as the query or the stream has it; the stream does not count members.
export function merge(tier) {
  const known = tiers.get(tier.seat_tier);
  const now = { ...known?.tier, ...tier };
  const row = known?.row ?? newRow(now.seat_tier);
  tiers.set(tier.seat_tier, { tier: now, row });
  const [, members, spend, limit, basis] = row.cells;
  if (now.members !== undefined) update(members, count(now.members));
  update(spend.firstChild, money(now.spend_usd));
  update(limit.firstChild, moneyOrUnlimited(limitNow(now)));
  update(basis, now.limit_usd === null ? "–" : BASIS[now.basis]);
}

function newRow(name) {
  const row = make("tr", {},
    make("th", { scope: "row" }, `${tierName(name)} seats`),
    make("td", { class: "number", "data-label": "Members" }),
    make("td", { class: "money", "data-label": "Month to date" }, make("span")),
    make("td", { class: "money", "data-label": "Limit" }, make("span")),
    make("td", { "data-label": "Basis" }),
    make("td", { class: "end" }, page.isOwner
      ? menuButton(`Actions for ${tierName(name)} seats`, () => [{ name: "Edit limit", action: () => edit(name) }]) : ""));
  const rows = [...tiers.entries(), [name, { row }]].sort(([a], [b]) => b.localeCompare(a));
  fill(byId("groups-rows"), ...rows.map(([, { row: each }]) => each));
  return row;
}

function edit(name) {
  const { tier } = tiers.get(name);
  limitDialog({
    title: `Edit limit: ${tierName(name)} seats`,
    said: "A member's own limit replaces the limit that each member of the group has.",
    set: "Set limit",
    limit: tier,
    choice: true,
    basis: tier.basis,
    canRaise: tier.limit_usd !== null,
    action: async (body) => {
      const { after } = await change("PUT", `${page.path}/seat-tiers/${name}/spend-limit`, body);
      merge({ seat_tier: name, basis: after.basis, ...limitAfter(after) });
      say(`The limit of ${tierName(name)} seats is ${moneyOrUnlimited(limitNow(limitAfter(after)))} now.`);
      page.later();
    },
  });
}
