// View 4, for admins and above: the requests that wait; each is granted a limit or a Premium seat, or denied.

import { change, get } from "/page/api.js";
import { WrongField, amountOf } from "/page/dialogs.js";
import { byId, count, fill, make, money, problem, say, tierName, time, update } from "/page/show.js";

const KINDS = { credits: "Asks for usage credits", premium_seat: "Asks for a Premium seat" };
let page;

export function start(context) {
  page = context;
  const dialog = byId("review-dialog");
  byId("review").onclick = async () => {
    try {
      await refresh();
      dialog.showModal();
    } catch (error) {
      page.trouble(error);
    }
  };
  dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
}

export function moved(total) {
  show(total);
  if (byId("review-dialog").open) refresh().catch(page.trouble);
}

function show(total) {
  byId("review").hidden = page.organization.plan !== "enterprise";
  update(byId("review-count"), count(total));
}

export async function refresh() {
  const { requests, total } = await get(`${page.path}/credit-requests/pending`);
  show(total);
  const list = byId("review-rows");
  // What somebody is typing into stays.
  const kept = new Map([...list.children].map((row) => [row.dataset.request, row]));
  fill(list, ...requests.map((request) => kept.get(request.request_id) ?? rowOf(request)));
  byId("review-empty").hidden = requests.length > 0;
}

function rowOf(request) {
  const id = `ask-${request.request_id}`;
  const input = make("input", { id, inputmode: "decimal", autocomplete: "off", "aria-describedby": `${id}-problem` });
  const said = make("p", { class: "problem", id: `${id}-problem`, role: "alert", hidden: true });
  const about = { "aria-describedby": `${id}-who` };
  const row = make("li", { "data-request": request.request_id },
    make("div", { class: "who", id: `${id}-who` },
      make("strong", {}, request.display_name ?? request.user_id), make("span", { class: "quiet" }, KINDS[request.kind] ?? "")),
    make("dl", { class: "facts" },
      make("div", {}, make("dt", {}, "Current seat"), make("dd", {}, tierName(request.seat_tier))),
      make("div", {}, make("dt", {}, "Asked"), make("dd", {}, time(request.asked_at))),
      make("div", {}, make("dt", {}, "Month to date"), make("dd", { class: "money" }, money(request.spend_usd)))),
    make("form", { class: "answer", novalidate: true, onsubmit: (event) => { event.preventDefault(); answer("approve", amount); } },
      make("div", { class: "field" }, make("label", { for: id }, "New monthly limit (USD)"),
        make("div", { class: "dollars" }, make("span", { "aria-hidden": "true" }, "$"), input), said),
      make("div", { class: "actions" },
        make("button", { type: "submit", class: "primary", ...about }, "Increase limit"),
        request.seat_tier === "standard"
          ? make("button", { type: "button", ...about, onclick: () => answer("approve", () => ({ seat_tier: "premium" })) }, "Switch to Premium") : "",
        make("button", { type: "button", ...about, onclick: () => answer("deny", () => ({})) }, "Deny"))));

  const amount = () => ({ limit_usd: amountOf(input) });

  async function answer(verb, body) {
    problem(said);
    input.removeAttribute("aria-invalid");
    const buttons = [...row.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    try {
      const { after } = await change("POST", `${page.path}/credit-requests/${encodeURIComponent(request.request_id)}/${verb}`, body());
      say(outcome(request, verb, after));
      row.remove();
      await refresh();
      (byId("review-rows").querySelector("input") ?? byId("review-dialog").querySelector("[data-cancel]")).focus();
      page.later();
    } catch (error) {
      if (error instanceof WrongField || error.code === "limit_not_above_spend") input.setAttribute("aria-invalid", "true");
      problem(said, error.message);
      if (error instanceof WrongField) input.focus();
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }
  return row;
}

const STILL = {
  org_limit: "the organization limit is reached", tier_limit: "the seat limit is reached", user_limit: "their own limit is reached",
  suspended: "the organization is suspended", disabled: "credits are off",
};

function outcome(request, verb, after) {
  if (verb === "deny") return `The request of ${request.user_id} was denied.`;
  const still = (after.still_denied_by ?? []).map((reason) => STILL[reason] ?? reason);
  const granted = after.seat_tier === request.seat_tier
    ? `The limit of ${request.user_id} is now ${money(after.limit_usd)}.`
    : `${request.user_id} now has a ${tierName(after.seat_tier)} seat.`;
  return still.length ? `${granted} They are still paused: ${still.join(", ")}.` : granted;
}
