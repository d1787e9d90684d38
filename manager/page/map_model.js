/* A map's JSON as places (services, workloads, addresses), groups of places, and edges that know both. Pure. */

import { groupIdOf, makeGroup } from "./groups.js";

export function edgeId(edge) {
  return `edge:${edge.source}|${edge.destination}|${edge.port}|${edge.type}`;
}

/* ok: all established; some: some failed; bad: none established, some failed. */
export function stateOf({ established, failed }) {
  if (failed > 0) return established > 0 ? "some" : "bad";
  return "ok";
}

export function titleOf(place) {
  return place.namespace ? `${place.namespace}/${place.name}` : place.name;
}

/* `changes` has edges that are not in this window (removed since another one), with the places that they need. Places are
   grouped by the value of `label`, without one by namespace; those that `like`, another model, has are in its groups. */
export function makeModel(data, changes = null, label = "", like = null) {
  const places = new Map();
  const groups = new Map();
  const pods = new Map();
  const services = changes ? [...data.services, ...changes.places] : data.services;
  for (const one of services) {
    const group = like?.places.get(one.id)?.group || groupIdOf(one, label);
    const place = { ...one, title: titleOf(one), out: [], in: [], group };
    places.set(one.id, place);
    if (!groups.has(group)) groups.set(group, like?.groups.get(group) ? { ...like.groups.get(group), places: [] } : makeGroup(group, place, label));
    groups.get(place.group).places.push(place);
  }
  const edges = [];
  const byId = new Map();
  for (const one of changes ? [...data.edges, ...changes.removed] : data.edges) {
    const id = edgeId(one);
    const [from, to] = [places.get(one.source), places.get(one.destination)];
    const edge = { ...one, id, state: stateOf(one), change: changes ? changes.of.get(id) || "" : "", from, to };
    from.out.push(edge);
    to.in.push(edge);
    edges.push(edge);
    byId.set(id, edge);
    for (const name of edge.sourcePods) pods.set(name, from);
    for (const backend of edge.backends) pods.set(backend.pod, to);
  }
  return { data, label, places, groups, spaces: spacesOf(places.values()), edges, byId, pods, changes };
}

/* Namespace -> how many places it has, in the order of names. */
function spacesOf(places) {
  const found = new Map();
  for (const { namespace } of places) if (namespace) found.set(namespace, (found.get(namespace) || 0) + 1);
  return new Map([...found].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
}

export function sumOf(edges) {
  const total = { attempts: 0, established: 0, failed: 0 };
  for (const edge of edges) {
    total.attempts += edge.attempts;
    total.established += edge.established;
    total.failed += edge.failed;
  }
  return total;
}

/* Edges joined by `keyOf(place)` of both ends: [{id, from, to, edges, attempts, established, failed, state, change}]. */
export function joinEdges(edges, keyOf) {
  const found = new Map(); // from -> to -> pair: a text for each edge would cost more than all else here
  const pairs = [];
  for (const edge of edges) {
    const [from, to] = [keyOf(edge.from), keyOf(edge.to)];
    if (from === undefined || to === undefined) continue;
    let others = found.get(from);
    if (!others) found.set(from, (others = new Map()));
    let pair = others.get(to);
    if (!pair) {
      others.set(to, (pair = { id: `pair:${from}>${to}`, from, to, edges: [] }));
      pairs.push(pair);
    }
    pair.edges.push(edge);
  }
  for (const pair of pairs) {
    Object.assign(pair, sumOf(pair.edges));
    pair.edges.sort((a, b) => b.failed - a.failed || b.attempts - a.attempts);
    pair.state = stateOf(pair);
    pair.change = changeOf(pair.edges);
  }
  return pairs;
}

function changeOf(edges) {
  const kind = edges[0].change;
  if (edges.every((edge) => edge.change === kind)) return kind;
  return ["added", "removed"].find((one) => edges.some((edge) => edge.change === one)) || "changed";
}
