// View 1, for owners (admins look on): the switch, the organization's limit, and how it is paid for.

import { change, get } from "/page/api.js";
import { WrongField, amountOf, limitDialog, open } from "/page/dialogs.js";
import { byId, limitAfter, limitNow, money, moneyOrUnlimited, monthName, number, problem, say, update } from "/page/show.js";

let page;
let reload = null;

export function start(context) {
  page = context;
  byId("limits").hidden = false;
  byId("adjust").hidden = !page.isOwner;
  byId("buy").hidden = !page.isOwner;
  byId("credits").disabled = !page.isOwner;
  byId("adjust").onclick = adjust;
  byId("buy").onclick = buy;
  byId("reload").onclick = () => editReload().catch(page.trouble);
  switches("credits", "/credits/enabled", "credits_enabled", (on) => `Usage credits are ${on ? "on" : "off"}.`);
  switches("requests", "/credit-requests/enabled", "requests_enabled",
    (on) => (on ? "Members can request usage credits." : "Members can no longer request usage credits."));
}

export function show(organization) {
  const isOn = organization.credits_enabled;
  const isTeam = organization.plan === "team";
  byId("credits").setAttribute("aria-checked", isOn);
  byId("credits-said").textContent = organization.status !== "active"
    ? `This organization is ${organization.status}; nobody can use credits.`
    : isOn ? "Members keep working after the usage included with their seat is used up."
      : "Off: members stop when the usage included with their seat is used up.";
  const limit = limitNow(organization);
  update(byId("spent"), money(organization.spend_usd));
  update(byId("limit"), moneyOrUnlimited(limit));
  byId("of").textContent = limit === null ? "·" : "of";
  const share = byId("spent-share");
  const reached = limit === null ? 0 : number(limit) === 0 ? 100 : Math.min(100, (number(organization.spend_usd) / number(limit)) * 100);
  share.hidden = limit === null;
  share.value = reached;
  share.className = reached >= 100 ? "bad" : reached >= 80 ? "near" : "";
  byId("limit-said").textContent = limitSaid(organization, limit, reached);
  byId("draft-line").hidden = isTeam || !page.isOwner;
  byId("balance-line").hidden = byId("reload-line").hidden = !isTeam;
  byId("reload-line").hidden = !isTeam || !page.isOwner;
  byId("requests-line").hidden = isTeam || !page.isOwner;
  byId("requests").setAttribute("aria-checked", organization.requests_enabled);
  if (isTeam) {
    update(byId("balance"), money(organization.balance_usd));
    byId("balance-said").textContent = number(organization.balance_usd) > 0
      ? "Burns down as members use credits."
      : "Nothing left: members are paused until credits are bought.";
  }
}

function limitSaid(organization, limit, reached) {
  const month = monthName(organization.month);
  if (limit === null && !organization.is_raised) return `Month to date, ${month}. Set a limit on what all members together can spend.`;
  if (reached >= 100) return `Month to date, ${month}. The limit is reached: all members are paused until it is raised or the month ends.`;
  const raised = organization.is_raised ? ` Raised for this month; ${moneyOrUnlimited(organization.limit_usd)} after it.` : "";
  return `Month to date, ${month} (UTC).${raised}`;
}

// What ClickHouse knows, which is a moment later.
export async function refresh() {
  if (!page.isOwner) return;
  if (page.organization.plan === "enterprise") {
    const { drafts } = await get(`${page.path}/draft-invoice`);
    const now = drafts.find((draft) => draft.month === page.organization.month);
    const before = drafts.filter((draft) => draft !== now);
    update(byId("draft"), money(now?.exact_usd ?? "0"));
    byId("draft-said").textContent = `For ${monthName(page.organization.month)}; invoiced after the month ends.`
      + before.map((draft) => ` ${monthName(draft.month)} is still a draft: ${money(draft.exact_usd)}.`).join("");
  } else {
    reload = await get(`${page.path}/auto-reload`);
    byId("reload-said").textContent = reload.suspended
      ? "Suspended: the last reload could not be paid. Buy credits, or save auto-reload again."
      : reload.enabled ? `Buys ${money(reload.amount_usd)} when the balance falls to ${money(reload.threshold_usd)}`
        + (reload.monthly_maximum_usd === null ? "." : `, at most ${money(reload.monthly_maximum_usd)} a month.`)
        : "Off. Switch it on so that nobody is paused when the balance runs out.";
  }
}

function switches(id, path, name, sentence) {
  const button = byId(id);
  button.onclick = async () => {
    const enabled = button.getAttribute("aria-checked") !== "true";
    button.disabled = true;
    problem(byId(`${id}-problem`));
    try {
      await change("PUT", page.path + path, { enabled });
      page.merge({ [name]: enabled });
      say(sentence(enabled));
    } catch (error) {
      problem(byId(`${id}-problem`), error.message);
    } finally {
      button.disabled = false;
      button.focus();
    }
  };
}

function adjust() {
  const { organization } = page;
  limitDialog({
    title: "Adjust limit",
    said: "What all members together can spend on usage credits in a month. A change takes effect at once.",
    set: "Set spend limit",
    limit: organization,
    unlimited: true,
    canRaise: organization.limit_usd !== null,
    action: async (body) => {
      const { after } = await change("PUT", `${page.path}/spend-limit`, body);
      page.merge(limitAfter(after));
      say(`The organization limit is ${moneyOrUnlimited(limitNow(limitAfter(after)))} now.`);
    },
  });
}

function buy() {
  const dialog = byId("buy-dialog");
  const input = byId("buy-amount");
  input.value = "";
  open(dialog, async () => {
    const amount_usd = amountOf(input, { more: true });
    await change("POST", `${page.path}/purchases`, { amount_usd });
    say(`Billing was asked to collect ${money(amount_usd)}; the credits are added when the payment is confirmed.`);
  }, { field: input });
}

async function editReload() {
  reload ??= await get(`${page.path}/auto-reload`);
  const dialog = byId("reload-dialog");
  const { enabled, threshold_usd, amount_usd, monthly_maximum_usd } = dialog.querySelector("form").elements;
  enabled.checked = reload.enabled || reload.threshold_usd === null;
  threshold_usd.value = reload.threshold_usd ?? "";
  amount_usd.value = reload.amount_usd ?? "";
  monthly_maximum_usd.value = reload.monthly_maximum_usd ?? "";
  open(dialog, async () => {
    const body = {
      enabled: enabled.checked,
      threshold_usd: amountOf(threshold_usd),
      amount_usd: amountOf(amount_usd, { more: true }),
      monthly_maximum_usd: monthly_maximum_usd.value.trim() === "" ? null : amountOf(monthly_maximum_usd, { more: true }),
    };
    try {
      const { after } = await change("PUT", `${page.path}/auto-reload`, body);
      reload = { ...after, suspended: false };
    } catch (error) {
      if (error.code === "maximum_below_amount") throw new WrongField(monthly_maximum_usd, error.message);
      throw error;
    }
    say(body.enabled ? "Auto-reload is on." : "Auto-reload is off.");
    page.later();
  }, { field: amount_usd });
}
