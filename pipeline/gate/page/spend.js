// View 6, for admins and above: where the money went this month, drawn, and where it leads.

import { get } from "/page/api.js";
import { chart } from "/page/chart.js";
import { byId, fill, limitNow, make, money, monthName, number, sum } from "/page/show.js";

const MOST_SHARES = 6;
let page;
let spend = null;

export function start(context) {
  page = context;
  byId("spend").hidden = false;
  new ResizeObserver(() => draw()).observe(byId("chart"));
}

export async function refresh() {
  spend = await get(`${page.path}/spend`);
  const isEmpty = spend.days.length === 0;
  const parts = [`${money(spend.spend_usd)} of usage credits in ${monthName(spend.month)}.`];
  if (isEmpty) parts[0] = `No usage credits were used in ${monthName(spend.month)} yet. Each day's spend is drawn here.`;
  else if (spend.forecast_usd !== null) parts.push(`At this pace about ${money(spend.forecast_usd)} by the end of the month.`);
  byId("spend-said").textContent = parts.join(" ");
  byId("spend-table").hidden = byId("shares").hidden = byId("chart").hidden = isEmpty;
  fill(byId("spend-table").querySelector("div"), table("Day (UTC)", spend.days));
  fill(byId("products"), shares(spend.products, "Product"));
  fill(byId("models"), shares(spend.models, "Model"));
  draw();
}

// The limit may change while the days stay.
export function draw() {
  const place = byId("chart");
  if (spend === null || place.hidden || place.clientWidth === 0) return;
  const { organization } = page;
  const limit = limitNow(organization);
  const now = new Date().toISOString();
  fill(place, chart(place.clientWidth, {
    month: spend.month,
    days: spend.days,
    limit: limit === null ? null : number(limit),
    forecast: spend.forecast_usd === null ? null : number(spend.forecast_usd),
    today: now.startsWith(spend.month) ? Number(now.slice(8, 10)) : 31,
  }));
}

function table(name, rows) {
  return make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, name), make("th", { scope: "col", class: "money" }, "Spend (USD)"))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row.name), make("td", { class: "money" }, money(row.spend_usd))))));
}

function shares(all, name) {
  const total = number(spend.spend_usd) || 1;
  const shown = all.slice(0, MOST_SHARES);
  const rest = all.slice(MOST_SHARES);
  if (rest.length) shown.push({ name: "Others", spend_usd: sum(rest.map((share) => share.spend_usd)) });
  return make("table", { class: "shares" },
    make("thead", { class: "unseen" }, make("tr", {}, make("th", { scope: "col" }, name), make("th", { scope: "col" }, "Spend (USD)"))),
    make("tbody", {}, ...shown.map((share) => {
      const bar = make("span", { class: "bar-of" });
      bar.style.inlineSize = `${Math.max(0, Math.min(100, (number(share.spend_usd) / total) * 100))}%`;
      return make("tr", {}, make("th", { scope: "row" }, make("span", { class: "share-name" }, share.name), bar), make("td", { class: "money" }, money(share.spend_usd)));
    })));
}
