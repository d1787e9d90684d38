/* The manager's API, read with the key of this tab. */

const STORED = "podsonar-key";
const TENANT = ["accountIdentifier", "organizationIdentifier", "projectIdentifier", "environmentIdentifier"];
let key = "";

/* Moves the key of `#key=…` from the address bar to this tab; true if there is a key. */
export function takeKey() {
  const values = new URLSearchParams(location.hash.slice(1));
  const given = values.get("key");
  if (given && /^[A-Za-z0-9_-]+$/.test(given)) {
    sessionStorage.setItem(STORED, given);
    values.delete("key");
    const rest = values.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
  }
  key = sessionStorage.getItem(STORED) || "";
  return Boolean(key);
}

export function setKey(text) {
  key = text;
  sessionStorage.setItem(STORED, text);
}

/* The path with the tenant that the page's address names (`?accountIdentifier=…`), if it does. */
function ofTenant(path) {
  const asked = new URLSearchParams(location.search);
  const named = TENANT.filter((name) => asked.has(name)).map((name) => `${name}=${encodeURIComponent(asked.get(name))}`);
  return named.length ? `${path}${path.includes("?") ? "&" : "?"}${named.join("&")}` : path;
}

export const keyHeaders = () => ({ "X-API-Key": key });

const ahead = new Map(); // path -> the promise of an answer that the page has not asked for yet

function get(path) {
  const answer = ahead.get(path) || read(path);
  ahead.delete(path);
  return answer;
}

async function read(path) {
  const answer = await fetch(`/api/v1${ofTenant(path)}`, { headers: { "X-API-Key": key }, cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`The manager answered ${answer.status}.`), { status: answer.status });
  return answer.json();
}

const AGENTS = "/agents?all=true";
const identitiesOf = (answer) => answer.items.map((one) => one.identity);

export async function listAgents() {
  return identitiesOf(await get(AGENTS));
}

/* Reads the agents and the map that is shown first while the page's modules are still on their way. */
export async function readAhead(agent, window) {
  const keep = (path) => {
    const answer = read(path);
    answer.catch(() => {}); // who asks for it gets the error
    ahead.set(path, answer);
    return answer;
  };
  const names = await keep(AGENTS).then(identitiesOf, () => []);
  if (names.length) keep(mapPath(names.includes(agent) ? agent : names[0], window));
}

export function readAgent(agent) {
  return get(`/agents/${encodeURIComponent(agent)}`);
}

function pathOf(agent, path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return `/agents/${encodeURIComponent(agent)}/${path}${text ? `?${text}` : ""}`;
}

const ofAgent = (agent, path, query) => get(pathOf(agent, path, query));
const mapPath = (agent, window) => pathOf(agent, "map", { window: window || "latest" });

export function readMap(agent, window) {
  return get(mapPath(agent, window));
}

/* The newest windows with their totals and names. */
export async function readWindows(agent) {
  return (await ofAgent(agent, "windows", { limit: "200" })).items;
}

export function readHistory(agent, { source, destination, port, type }) {
  return ofAgent(agent, "edges/history", { source, destination, port, type });
}

export function readExplanation(agent, source, destination, window) {
  return ofAgent(agent, "explain", { source, destination, window: window || "latest" });
}

export function readChanges(agent, since) {
  return ofAgent(agent, "changes", { since });
}
