// A path of the gate's public API comes in; its JSON goes out, or a Problem whose message is a sentence for people.

const SENTENCES = {
  not_allowed: "You may not do this. Ask an owner of your organization.",
  not_our_page: "This browser sent the request as if from another page. Reload and try again.",
  csrf: "Your session has changed. Reload the page and try again.",
  too_many_requests: "That was too quick. Wait a moment and try again.",
  not_ready: "The service is starting. Try again in a few seconds.",
  kafka_away: "The change could not be submitted. Try again in a minute.",
  no_answer_yet: "No answer yet; the change may still happen. Reload in a minute and look.",
  issuer_away: "The sign-in service does not answer. Try again in a minute.",
  history_away: "Past usage cannot be read at the moment. Try again in a minute.",
  offline: "The service cannot be reached. Check your connection and try again.",
  requests_disabled: "Your organization does not accept requests at the moment. Ask an admin in person.",
  already_on_premium: "You already have a Premium seat. Ask for usage credits instead.",
  own_request: "You cannot approve your own request. Ask another admin.",
  request_closed: "Somebody else has answered this request already.",
  unknown_request: "This request no longer exists.",
  credits_disabled: "Usage credits are off for the organization. An owner has to switch them on first.",
  not_on_team: "This is available on Enterprise only.",
  not_on_enterprise: "Enterprise is billed by invoice; there is no balance to buy.",
  amount_not_above_threshold: "The amount to buy must be more than the balance it is bought at.",
  maximum_below_amount: "The monthly maximum must leave room for one reload.",
  amount_is_zero: "The amount must be more than $0.00.",
  not_a_raise: "For this month only, a limit can be raised, not lowered. Enter more than the current limit.",
  unknown_member: "This person is no longer a member.",
  closed: "This organization is closed.",
};

export class Problem extends Error {
  constructor(status, body) {
    super(sentence(body));
    Object.assign(this, { status, code: body.code });
  }
}

function sentence({ code, detail, request_id }) {
  switch (code) {
    case "limit_not_above_spend":
      return `The limit must be more than was spent this month: ${detail.match(/\$[\d,.]+/)?.[0] ?? "see month to date"}.`;
    case "internal_error":
      return `Something went wrong on our side. Try again; if it keeps happening, tell us the request id: ${request_id}.`;
    default:
      return SENTENCES[code] ?? detail ?? "Something went wrong.";
  }
}

const TRIES = 3;
let csrfToken = "";

export async function whoAmI() {
  const me = await get("/v1/me");
  if (csrfToken !== "" && csrfToken !== me.csrf_token) {
    location.reload(); // somebody signed in anew, in another tab: what is shown here is not theirs
    await new Promise(() => {});
  }
  csrfToken = me.csrf_token ?? "";
  return me;
}

export function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return call("GET", query ? `${path}?${query}` : path);
}

// A change is sent again with the same Idempotency-Key when no answer came: it is applied once.
export async function change(method, path, body = {}) {
  const key = crypto.randomUUID();
  for (let left = TRIES - 1; ; left--) {
    try {
      return await call(method, path, body, { "Idempotency-Key": key });
    } catch (problem) {
      if (left === 0 || ![0, 503, 504].includes(problem.status)) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

export async function signOut() {
  await call("POST", "/sign-out");
  location.assign("/sign-in?problem=signed_out");
}

async function call(method, path, body, headers = {}) {
  if (method !== "GET") headers = { ...headers, "X-CSRF-Token": csrfToken };
  if (body !== undefined) headers = { ...headers, "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { code: "offline" });
  }
  if (answer.status === 401) {
    location.assign(csrfToken === "" ? "/sign-in" : "/sign-in?problem=session_over"); // whoever just arrived had no session
    await new Promise(() => {}); // the page is leaving
  }
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}
