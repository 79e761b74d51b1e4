// A dialog and what to do with its values come in; it opens, says what is wrong next to the field, closes when done.

import { byId, limitNow, problem } from "/page/show.js";

const AMOUNT = /^\d{1,9}(\.\d{1,2})?$/;
const AMOUNT_SAID = "Enter dollars and cents, such as 250 or 99.50.";

export class WrongField extends Error {
  constructor(input, sentence) {
    super(sentence);
    this.input = input;
  }
}

// The amount somebody typed, as the API takes it.
export function amountOf(input, { more = false } = {}) {
  const text = input.value.trim().replace(/^\$/, "").replaceAll(",", "").trim();
  if (!AMOUNT.test(text)) throw new WrongField(input, AMOUNT_SAID);
  if (more && /^[0.]+$/.test(text)) throw new WrongField(input, "The amount must be more than $0.00.");
  return text;
}

// Runs `action` when the form is sent; the dialog closes only if it succeeds.
export function open(dialog, action, { field } = {}) {
  const form = dialog.querySelector("form");
  clear(form);
  form.onsubmit = (event) => {
    event.preventDefault();
    run(dialog, () => action(event.submitter), field);
  };
  for (const button of dialog.querySelectorAll("[data-cancel]")) button.onclick = () => dialog.close();
  dialog.showModal();
}

export async function run(dialog, action, field) {
  const form = dialog.querySelector("form");
  const buttons = [...form.querySelectorAll("button:not([data-cancel])")];
  clear(form);
  form.setAttribute("aria-busy", "true");
  for (const button of buttons) button.disabled = true;
  try {
    await action();
    dialog.close();
  } catch (error) {
    const input = error instanceof WrongField ? error.input : error.status >= 400 && error.status < 500 ? field : null;
    if (!error.message) throw error;
    if (input) {
      input.setAttribute("aria-invalid", "true");
      problem(byId(input.getAttribute("aria-describedby")), error.message);
      queueMicrotask(() => input.focus());
    } else {
      problem(form.querySelector("[data-problem]"), error.message);
    }
  } finally {
    form.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
  }
}

function clear(form) {
  for (const line of form.querySelectorAll(".problem")) problem(line);
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

// The one dialog about limits: of the organization, of a group, of a member.
export function limitDialog({ title, said, set, limit, choice, unlimited, basis, canRaise, action }) {
  const dialog = byId("limit-dialog");
  const form = dialog.querySelector("form");
  const part = (name) => form.querySelector(`[data-${name}]`);
  byId("limit-dialog-title").textContent = title;
  part("said").textContent = said;
  part("set").textContent = set;
  part("choice").hidden = !choice;
  part("unlimited").hidden = !unlimited;
  part("basis").hidden = basis === undefined;
  part("month").hidden = !canRaise;
  // A raise is shown as what it is: to make it the limit for good takes a hand of one's own.
  form.elements.month.checked = limit.is_raised;
  form.elements.amount.value = limitNow(limit) ?? "";
  if (basis !== undefined) form.elements.basis.value = basis;
  form.elements.kind.value = "amount";
  const follow = () => {
    part("amount").hidden = choice && form.elements.kind.value === "unlimited";
    part("month").hidden = !canRaise || part("amount").hidden;
  };
  for (const radio of form.elements.kind) radio.onchange = follow;
  follow();
  const sent = (limit_usd) => action({
    limit_usd,
    this_month_only: canRaise && limit_usd !== null && form.elements.month.checked,
    ...(basis === undefined ? {} : { basis: form.elements.basis.value }),
  });
  const isUnlimited = () => choice && form.elements.kind.value === "unlimited";
  part("unlimited").onclick = () => run(dialog, () => sent(null));
  open(dialog, () => sent(isUnlimited() ? null : amountOf(form.elements.amount)), { field: form.elements.amount });
  if (!part("amount").hidden) form.elements.amount.select();
}
