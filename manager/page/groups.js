/* How places are grouped: by namespace, or by the value of a label that a user chooses. Pure. */

/* Places without a namespace, by kind: the same groups whatever the others are grouped by. */
const OUTSIDE = { External: "Outside the cluster", Node: "Nodes", Unresolved: "Unresolved addresses" };
const MOST_KEYS = 100; // labels that are offered
const UNGROUPED = "ungrouped";

/* The value that a place has of a label, undefined without one. */
export function labelOf(place, label) {
  return place.labels && Object.hasOwn(place.labels, label) ? place.labels[label] : undefined;
}

export function groupIdOf(place, label) {
  if (!place.namespace) return `kind/${place.kind}`;
  if (!label) return `namespace/${place.namespace}`;
  const text = labelOf(place, label);
  return text === undefined ? UNGROUPED : `label/${encodeURIComponent(text)}`;
}

/* The empty group of a place. */
export function makeGroup(id, place, label) {
  if (!place.namespace) return { id, name: OUTSIDE[place.kind] || place.kind, kind: place.kind, places: [] };
  if (!label) return { id, name: place.namespace, kind: "Namespace", places: [] };
  if (id === UNGROUPED) return { id, name: `Without ${label}`, kind: "Ungrouped", places: [] };
  return { id, name: labelOf(place, label) || `${label} is empty`, kind: "Label", places: [] };
}

/* Whether it holds addresses or nodes, not services. */
export function isOutside(group) {
  return Object.hasOwn(OUTSIDE, group.kind);
}

/* The labels that places have, those of most places first; `chosen` is among them even if no place has it. */
export function labelKeys(places, chosen) {
  const has = new Map();
  for (const place of places) {
    for (const key of Object.keys(place.labels || {})) has.set(key, (has.get(key) || 0) + 1);
  }
  const keys = [...has].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, MOST_KEYS).map(([key]) => key);
  return chosen && !keys.includes(chosen) ? [chosen, ...keys] : keys;
}
