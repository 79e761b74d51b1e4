// Values of the API come in; text and elements go out. Text only ever becomes text: nothing here parses HTML.

const MONEY = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", signDisplay: "negative" });
const WHOLE = new Intl.NumberFormat();
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const MONTH = new Intl.DateTimeFormat("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
export const UNLIMITED = "Unlimited";

export const byId = (id) => document.getElementById(id);

// make("a", { href: "/" }, "text", otherElement); a property that is undefined or false is left out.
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false || value === null) continue;
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

// Decimal text goes in as it is: a number would round it before its time. What is not nothing does not look like it.
export const money = (usd) => (usd > 0 && usd < 0.005 ? "<$0.01" : MONEY.format(usd));
export const moneyOrUnlimited = (usd) => (usd === null || usd === undefined ? UNLIMITED : money(usd));
// The limit of this month, of whatever has one; and what an answer to a command says of one.
export const limitNow = (it) => (it.is_raised ? it.raised_usd : it.limit_usd);
export const limitAfter = ({ limit_usd, raise_usd, raise_month }) => ({ limit_usd, raised_usd: raise_usd ?? null, is_raised: raise_month !== undefined });
export const count = (number) => WHOLE.format(number);
export const tierName = (tier) => `${tier[0].toUpperCase()}${tier.slice(1)}`;
export const roleName = (role) => tierName(role).replace("_", " ");
export const monthName = (month) => MONTH.format(new Date(`${month}-01T00:00:00Z`));
export const number = (usd) => Number(usd); // for lengths on the screen alone

// Exactly: as whole picodollars, since binary fractions hold no cents.
export function sum(amounts) {
  const picousd = amounts.map((usd) => usd.split(".")).reduce((all, [whole, part = ""]) => all + BigInt(whole + part.padEnd(12, "0")), 0n);
  const digits = String(picousd).replace("-", "").padStart(13, "0");
  return `${picousd < 0n ? "-" : ""}${digits.slice(0, -12)}.${digits.slice(-12)}`;
}

export function time(instant, { dayOnly = false } = {}) {
  const at = new Date(instant);
  const utc = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return make("time", { datetime: instant, title: utc }, (dayOnly ? DAY : DAY_AND_TIME).format(at));
}

// What a person reads changes in place; where it truly changed, it lights up.
export function update(element, text) {
  if (element.textContent === text) return;
  const isFirst = element.textContent === "";
  element.textContent = text;
  if (isFirst) return;
  element.classList.remove("moved");
  void element.offsetWidth; // begins the animation anew
  element.classList.add("moved");
}

export function say(sentence) {
  const line = byId("said");
  fill(line, make("p", { class: "notice good" }, sentence));
  clearTimeout(line.timer);
  line.timer = setTimeout(() => fill(line), 8000);
}

export function problem(element, text) {
  element.textContent = text ?? "";
  element.hidden = !text;
}

const LIMIT_NAMES = { org_limit: "Organization limit", tier_limit: "Seat limit", user_limit: "Own limit" };
export const limitName = (reason) => LIMIT_NAMES[reason] ?? reason;

// Words and color of a member's status, the end of a pause as a time of the reader's zone.
export function status(member) {
  if (member.allowed) return make("span", { class: "badge good" }, "Active");
  const [first] = member.reasons;
  if (first === "suspended") return make("span", { class: "badge bad" }, "Suspended");
  if (first === "disabled") return make("span", { class: "badge" }, "Disabled");
  if (first === "not_a_member") return make("span", { class: "badge" }, "Removed");
  if (first === "balance") return make("span", { class: "badge bad" }, "Paused: no balance");
  const end = member.ends_at ? [" until ", time(member.ends_at, { dayOnly: true })] : [];
  return make("span", { class: "badge bad" }, "Paused", ...end);
}
