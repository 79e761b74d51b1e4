// One's own name, address and mails come in from `…/contact`; what is changed in the dialog goes there.

import { change, get } from "/page/api.js";
import { WrongField, open } from "/page/dialogs.js";
import { byId, say } from "/page/show.js";

let page;

export function start(context) {
  page = context;
  byId("contact").hidden = false;
  byId("contact").onclick = () => edit().catch(page.trouble);
}

async function edit() {
  const path = `${page.path}/members/${encodeURIComponent(page.userId)}/contact`;
  const held = await get(path);
  const dialog = byId("contact-dialog");
  const { display_name, email, ...fields } = Object.fromEntries([...dialog.querySelectorAll("input")].map((input) => [input.name, input]));
  display_name.value = held.display_name ?? "";
  email.value = held.email ?? "";
  for (const [name, box] of Object.entries(fields)) box.checked = held.notices[name];
  const isTeam = page.organization.plan === "team";
  byId("contact-digest").hidden = !page.isAdmin || isTeam;
  byId("contact-balance").hidden = !page.isOwner || !isTeam;
  open(dialog, async () => {
    if (!email.checkValidity()) throw new WrongField(email, "Enter an address such as mia@example.com, or leave it empty.");
    const changed = await change("PATCH", path, {
      display_name: display_name.value.trim().replace(/\s+/g, " ") || null,
      email: email.value.trim() || null,
      notices: Object.fromEntries(Object.entries(fields).map(([name, box]) => [name, box.checked])),
    });
    page.mergeMember({ ...page.me, display_name: changed.display_name });
    say(changed.email ? `We will email ${changed.email}.` : "You will get no email.");
  });
}
