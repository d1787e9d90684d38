/* The manager's API, read with the key of this tab. */

const STORED = "podsonar-key";
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

async function get(path) {
  const answer = await fetch(`/api/v1${path}`, { headers: { "X-API-Key": key }, cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`The manager answered ${answer.status}.`), { status: answer.status });
  return answer.json();
}

export async function listAgents() {
  return (await get("/agents?all=true")).items.map((one) => one.identity);
}

export function readMap(agent, window) {
  return get(`/agents/${encodeURIComponent(agent)}/map?window=${encodeURIComponent(window || "latest")}`);
}
