// View 3, for admins and above: a page of members, searched and sorted by the server; owners change limits here.

import { change, get } from "/page/api.js";
import { limitDialog } from "/page/dialogs.js";
import { menuButton } from "/page/menu.js";
import { byId, count, fill, limitAfter, limitName, limitNow, make, money, moneyOrUnlimited, roleName, say, status, tierName, update } from "/page/show.js";

const PAGE_SIZE = 50;
const ROLES = ["member", "admin", "owner", "primary_owner"];
const COLUMNS = [
  { name: "Name", sort: "user_id" },
  { name: "Seat", sort: "seat_tier" },
  { name: "Role", sort: "role" },
  { name: "Month to date (USD)", sort: "spend", number: true },
  { name: "Limit (USD)", number: true },
  { name: "Status" },
  { name: "Actions", unseen: true },
];

let page;
let asked = 0;
const view = { search: "", sort: "-spend", offset: 0 };
const rows = new Map();

export function start(context) {
  page = context;
  byId("members").hidden = false;
  head();
  let typing;
  byId("search").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => turnTo({ search: byId("search").value.trim(), offset: 0 }), 200);
  };
  byId("search-form").onsubmit = (event) => event.preventDefault();
  byId("previous").onclick = () => turnTo({ offset: Math.max(0, view.offset - PAGE_SIZE) });
  byId("next").onclick = () => turnTo({ offset: view.offset + PAGE_SIZE });
}

export const onScreen = () => [...rows.keys()];

export async function refresh() {
  const number = ++asked;
  const { members, total, next_offset } = await get(`${page.path}/members`, { ...view, limit: PAGE_SIZE });
  if (number !== asked) return; // somebody asked for another page meanwhile
  rows.clear();
  fill(byId("members-rows"), ...members.map((member) => rowOf(member)));
  const empty = byId("members-empty");
  empty.hidden = total > 0;
  empty.textContent = view.search === ""
    ? "No members yet. People added to the organization show up here."
    : `No name or user id contains “${view.search}”. Try fewer letters.`;
  byId("members-count").textContent = total === 0 ? "" : `${count(view.offset + 1)}–${count(view.offset + members.length)} of ${count(total)}`;
  byId("previous").disabled = view.offset === 0;
  byId("next").disabled = next_offset === null;
  byId("previous").hidden = byId("next").hidden = total <= PAGE_SIZE;
  page.watch(onScreen());
}

// A member as the stream has them, if they are on the screen.
export function merge(member) {
  const known = rows.get(member.user_id);
  if (known) put(known, member);
}

async function turnTo(where) {
  Object.assign(view, where);
  head();
  try {
    await refresh();
  } catch (error) {
    page.trouble(error);
  }
}

function head() {
  const cells = COLUMNS.map(({ name, sort, number, unseen }) => {
    const isSorted = sort !== undefined && view.sort.replace("-", "") === sort;
    const isDown = view.sort.startsWith("-");
    const next = isSorted ? (isDown ? sort : `-${sort}`) : sort === "spend" ? "-spend" : sort;
    return make("th", {
      scope: "col", class: number && "money", "aria-sort": isSorted && (isDown ? "descending" : "ascending"),
    }, sort ? make("button", { type: "button", class: "sort", "data-sort": sort, onclick: () => turnTo({ sort: next, offset: 0 }) }, name,
      make("span", { "aria-hidden": "true", class: "arrow" }, isSorted ? (isDown ? "↓" : "↑") : "")) : make("span", { class: unseen && "unseen" }, name));
  });
  const focused = document.activeElement?.dataset?.sort;
  fill(byId("members-head"), ...cells);
  if (focused) byId("members-head").querySelector(`[data-sort="${focused}"]`).focus();
}

function rowOf(member) {
  const row = make("tr", {},
    make("th", { scope: "row", class: "name" }, make("span", { title: member.user_id }), make("small", { class: "quiet" })),
    make("td", { "data-label": "Seat" }),
    make("td", { "data-label": "Role" }),
    make("td", { class: "money", "data-label": "Month to date" }, make("span")),
    make("td", { class: "money", "data-label": "Limit" }, make("span"), make("small", { class: "quiet" })),
    make("td", { "data-label": "Status" }),
    make("td", { class: "end" }));
  const known = { row };
  rows.set(member.user_id, known);
  put(known, member);
  return row;
}

function put(known, member) {
  known.member = member;
  const [name, seat, role, spend, limit, state, more] = known.row.cells;
  update(name.firstChild, member.display_name ?? member.user_id);
  name.lastChild.textContent = member.display_name === null ? "" : member.user_id;
  update(seat, tierName(member.seat_tier));
  update(role, roleName(member.role));
  update(spend.firstChild, money(member.spend_usd));
  update(limit.firstChild, moneyOrUnlimited(ownLimit(member)?.limit_usd));
  const binding = member.limits.filter((each) => each.binds).map((each) => limitName(each.reason));
  limit.lastChild.textContent = binding.length ? `${binding.join(", ")} applies` : "";
  const now = status(member);
  if (state.textContent !== now.textContent) fill(state, now);
  if (actions(known).length === 0) fill(more);
  else if (!more.firstChild) more.append(menuButton(`Actions for ${member.user_id}`, () => actions(known)));
}

const ownLimit = (member) => member.limits.find((each) => each.reason === "user_limit") ?? member.limits.find((each) => each.reason === "tier_limit");

function actions({ member }) {
  if (ROLES.indexOf(page.role) < ROLES.indexOf(member.role) || member.removed) return [];
  const at = `${page.path}/members/${encodeURIComponent(member.user_id)}`;
  const other = member.seat_tier === "standard" ? "premium" : "standard";
  const seat = {
    name: `Change seat to ${tierName(other)}`,
    action: () => give(`${at}/seat-tier`, { seat_tier: other }, `${member.user_id} has a ${tierName(other)} seat now.`, member),
  };
  if (!page.isOwner) return [seat];
  const isOn = member.credits_enabled ?? page.organization.member_default;
  return [
    { name: "Edit limit", action: () => edit(at, member) },
    {
      name: "Set to unlimited",
      action: () => give(`${at}/spend-limit`, { limit_usd: null }, `${member.user_id} has no limit of their own now.`, member),
    },
    {
      name: isOn ? "Disable credits" : "Enable credits",
      action: () => give(`${at}/credits/enabled`, { enabled: !isOn }, `Usage credits of ${member.user_id} are ${isOn ? "disabled" : "enabled"}.`, member),
    },
    seat,
  ];
}

async function give(path, body, sentence, member) {
  try {
    await change("PUT", path, body);
    merge(await get(`${page.path}/members/${encodeURIComponent(member.user_id)}`));
    say(sentence);
    page.later();
  } catch (error) {
    page.trouble(error);
  }
}

function edit(at, member) {
  const own = member.limit_usd;
  limitDialog({
    title: `Edit limit: ${member.user_id}`,
    said: `A limit for this member alone; it replaces the limit of each ${tierName(member.seat_tier)} seat. Spent this month: ${money(member.spend_usd)}.`,
    set: "Set limit",
    limit: member,
    choice: true,
    canRaise: own !== null || member.is_raised,
    action: async (body) => {
      const { after } = await change("PUT", `${at}/spend-limit`, body);
      merge(await get(`${page.path}/members/${encodeURIComponent(member.user_id)}`));
      say(`The limit of ${member.user_id} is now ${moneyOrUnlimited(limitNow(limitAfter(after)) ?? after.binding_usd)}.`);
      page.later();
    },
  });
}
