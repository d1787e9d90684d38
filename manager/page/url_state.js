/* What the page shows, kept in the address bar: the same link shows the same view. */

/* Name in the address bar -> default value. */
const DEFAULTS = {
  agent: "",
  window: "", // empty: the newest
  base: "", // the window whose edges arranged the overview
  compare: "", // a second window; edges are coloured by their change since it
  view: "overview",
  select: "", // id of a place, group or edge whose details are in the panel
  focus: "", // id of the place in the middle of Focus
  hops: "1",
  mode: "both", // both, blast
  more: "", // 1: also what is beyond a layer's limit
  group: "", // the label whose values group services; empty: namespaces
  area: "", // only what touches the group of this id
  open: "auto", // groups that are open: auto, *, - or ids with commas
  namespace: "",
  kind: "",
  port: "",
  since: "", // only edges that were first seen since then: a span before the newest window, a time, a window
  only: "", // failed, external, changed, with commas
  sort: "",
  rows: "edges", // edges, services
  at: "", // x,y,zoom of the stage
};

export const state = { ...DEFAULTS };
const listeners = [];

export function onState(listener) {
  listeners.push(listener);
}

function read() {
  const values = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(DEFAULTS)) state[name] = values.has(name) ? values.get(name) : value;
}

export function linkOf(values) {
  const changed = Object.entries(values).filter(([name, value]) => value !== DEFAULTS[name]);
  const text = new URLSearchParams(changed).toString();
  return location.pathname + location.search + (text ? `#${text}` : "");
}

/* Changes the state; `quiet` writes the address bar without a new entry in the history and without a new drawing. */
export function update(values, quiet = false) {
  Object.assign(state, values);
  if (quiet) return history.replaceState(null, "", linkOf(state));
  history.pushState(null, "", linkOf(state));
  listeners.forEach((listener) => listener(Object.keys(values)));
  return undefined;
}

export function onlyHas(name) {
  return state.only.split(",").includes(name);
}

export function toggleOnly(name) {
  const chosen = state.only.split(",").filter(Boolean);
  return (chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]).join(",");
}

read();
addEventListener("popstate", () => {
  read();
  listeners.forEach((listener) => listener(Object.keys(DEFAULTS)));
});
