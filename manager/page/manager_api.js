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

async function get(path) {
  const answer = await fetch(`/api/v1${ofTenant(path)}`, { headers: { "X-API-Key": key }, cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`The manager answered ${answer.status}.`), { status: answer.status });
  return answer.json();
}

export async function listAgents() {
  return (await get("/agents?all=true")).items.map((one) => one.identity);
}

export function readAgent(agent) {
  return get(`/agents/${encodeURIComponent(agent)}`);
}

function ofAgent(agent, path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return get(`/agents/${encodeURIComponent(agent)}/${path}${text ? `?${text}` : ""}`);
}

export function readMap(agent, window) {
  return ofAgent(agent, "map", { window: window || "latest" });
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
