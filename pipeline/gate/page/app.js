// Who is signed in comes in; the views they may see go out, and move when something moves.

import { get, signOut, whoAmI } from "/page/api.js";
import * as contact from "/page/contact.js";
import * as groups from "/page/groups.js";
import * as history from "/page/history.js";
import * as limits from "/page/limits.js";
import * as members from "/page/members.js";
import * as mine from "/page/mine.js";
import * as requests from "/page/requests.js";
import { byId, fill, make, monthName, problem, roleName, tierName } from "/page/show.js";
import * as spend from "/page/spend.js";

const RENEW_MS = 5 * 60 * 1000;
const LATER_MS = [800, 3000]; // past usage is stored a moment after it is charged
const QUIET_MS = 5000;
const PAST_MS = 20000;
const AGAIN_MS = 2000;

const page = {
  path: "", role: "", isOwner: false, isAdmin: false, organization: null, me: null,
  // The organization as somebody just changed it, or as the stream has it.
  merge(fields) {
    Object.assign(page.organization, fields);
    const { organization } = page;
    byId("subtitle").textContent = `${organization.org_id} · ${tierName(organization.plan)} · ${monthName(organization.month)}`;
    if (page.isAdmin) {
      limits.show(organization);
      spend.draw();
    }
    if (page.me) mine.show(page.me);
  },
  mergeMember(member) {
    if (member.user_id === page.userId) {
      if (page.me && page.me.role !== member.role) location.reload(); // other views for another role
      page.me = member;
      mine.show(member);
    }
    if (page.isAdmin) members.merge(member);
  },
  watch(userIds) {
    watched = userIds;
    listen();
  },
  later() {
    for (const delay of LATER_MS) setTimeout(past, delay);
  },
  trouble(error) {
    problem(byId("trouble"), error.message);
  },
};

let watched = [];
let stream = null;
let lastPast = 0;
let waiting = null;

async function start() {
  byId("theme").value = localStorage.getItem("theme") ?? "";
  byId("theme").onchange = choose;
  byId("sign-out").onclick = () => signOut().catch(page.trouble);
  const me = await whoAmI();
  page.userId = me.user_id;
  byId("who").textContent = me.user_id;
  setInterval(() => whoAmI().catch(() => {}), RENEW_MS);
  const chosen = new URLSearchParams(location.search).get("org") ?? localStorage.getItem("organization");
  const membership = me.memberships.find(({ org_id }) => org_id === chosen) ?? me.memberships[0];
  if (!membership) {
    byId("nowhere").hidden = false;
    byId("nowhere-id").textContent = me.user_id;
    byId("subtitle").textContent = "";
    return;
  }
  organizations(me.memberships, membership.org_id);
  await show(membership);
}

async function show({ org_id, role }) {
  page.path = `/v1/organizations/${encodeURIComponent(org_id)}`;
  page.role = role;
  page.isAdmin = role !== "member";
  page.isOwner = role === "owner" || role === "primary_owner";
  byId("who").textContent = `${page.userId} · ${roleName(role)}`;
  const own = get(`${page.path}/members/${encodeURIComponent(page.userId)}`);
  page.organization = await get(page.path);
  const views = page.isAdmin ? [limits, groups, spend, members, requests, history] : [];
  for (const view of [...views, mine, contact]) view.start(page);
  page.me = await own;
  page.merge({});
  if (page.isAdmin) byId("main").append(byId("mine")); // whoever looks after others comes last themselves
  const parts = views.filter((view) => view !== limits || page.isOwner).map((view) => view.refresh().catch(page.trouble));
  if (!page.isAdmin) listen();
  performance.mark("first view");
  await Promise.all(parts);
  performance.mark("all views");
  lastPast = Date.now();
  setTimeout(past, LATER_MS[1]);
  setInterval(past, PAST_MS);
  document.addEventListener("visibilitychange", past);
}

// The stream begins with everything as it is now, also after it broke.
function listen() {
  stream?.close();
  const query = new URLSearchParams(watched.map((id) => ["watch", id]));
  stream = new EventSource(`${page.path}/live?${query}`);
  const on = (name, take) => stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  on("organization", (organization) => { page.merge(organization); moved(); });
  on("member", (member) => page.mergeMember(member));
  on("seat_tier", (tier) => page.organization.plan === "enterprise" && groups.merge(tier));
  on("requests", ({ total }) => requests.moved(total));
  stream.onopen = () => problem(byId("trouble"));
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(listenAgain, AGAIN_MS); // else the browser does it
  };
}

// The stream was refused: the gate starts, or somebody may no longer look on.
async function listenAgain() {
  try {
    const { memberships } = await whoAmI();
    const isStill = memberships.some(({ org_id, role }) => org_id === page.organization.org_id && role === page.role);
    if (isStill) listen();
    else location.reload();
  } catch (error) {
    page.trouble(error);
    setTimeout(listenAgain, AGAIN_MS);
  }
}

// What comes from ClickHouse is asked again when something moved, but not all the time.
function moved() {
  if (!page.isAdmin || lastPast === 0) return;
  clearTimeout(waiting);
  waiting = setTimeout(past, Math.max(1000, QUIET_MS - (Date.now() - lastPast)));
}

async function past() {
  if (!page.isAdmin || document.hidden) return;
  lastPast = Date.now();
  await Promise.all([limits, groups, spend, history].map((view) => view.refresh().catch(page.trouble)));
}

function organizations(memberships, current) {
  if (memberships.length < 2) return;
  const select = byId("organization");
  select.hidden = false;
  fill(select, ...memberships.map(({ org_id }) => make("option", { value: org_id, selected: org_id === current }, org_id)));
  select.onchange = () => {
    localStorage.setItem("organization", select.value);
    location.assign("/settings/usage");
  };
}

function choose() {
  const { value } = byId("theme");
  if (value === "") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", value);
    document.documentElement.dataset.theme = value;
  }
}

start().catch(page.trouble).finally(() => byId("main").setAttribute("aria-busy", "false"));
