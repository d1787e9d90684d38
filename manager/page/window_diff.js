/* What changed from one window to another: edges added, removed and changed. Pure. */

import { edgeId, stateOf } from "./map_model.js";

const FACTOR = 4; // attempts that differ by less are traffic of another minute, not a change
const FEW = 20; // attempts below which a factor means nothing

function hasChanged(before, now) {
  if (stateOf(before) !== stateOf(now)) return true;
  const [less, more] = [before.attempts, now.attempts].sort((a, b) => a - b);
  return more >= FEW && more > FACTOR * less;
}

/* `of` has the change of each edge that differs; `removed` are edges of `before` alone, `places` those only they need. */
export function compareMaps(before, now) {
  const old = new Map(before.edges.map((edge) => [edgeId(edge), edge]));
  const of = new Map();
  for (const edge of now.edges) {
    const id = edgeId(edge);
    const was = old.get(id);
    if (!was) of.set(id, "added");
    else if (hasChanged(was, edge)) of.set(id, "changed");
    old.delete(id);
  }
  const removed = [...old.values()];
  for (const id of old.keys()) of.set(id, "removed");
  const here = new Set(now.services.map((one) => one.id));
  const needed = new Set(removed.flatMap((edge) => [edge.source, edge.destination]).filter((id) => !here.has(id)));
  return { of, removed, places: before.services.filter((one) => needed.has(one.id)), notObserved: unobserved(before, now) };
}

/* Nodes observed as a whole in one of the windows only: there, a difference may be one of observation. */
function unobserved(before, now) {
  const whole = (map) => new Set(Object.entries(map.coverage || {}).filter(([, one]) => one.observed === "whole").map(([name]) => name));
  const [first, second] = [whole(before), whole(now)];
  const names = new Set([...Object.keys(before.coverage || {}), ...Object.keys(now.coverage || {})]);
  return [...names].filter((name) => !first.has(name) || !second.has(name)).sort();
}
