/* A map's JSON as places (services, workloads, addresses), groups of places, and edges that know both. Pure. */

/* Places without a namespace, by kind. */
const OUTSIDE = { External: "Outside the cluster", Node: "Nodes", Unresolved: "Unresolved addresses" };

export function edgeId(edge) {
  return `edge:${edge.source}|${edge.destination}|${edge.port}|${edge.type}`;
}

/* ok: all established; some: some failed; bad: none established, some failed. */
export function stateOf({ established, failed }) {
  if (failed > 0) return established > 0 ? "some" : "bad";
  return "ok";
}

function groupIdOf(place) {
  return place.namespace ? `namespace/${place.namespace}` : `kind/${place.kind}`;
}

function makeGroup(place) {
  return {
    id: groupIdOf(place),
    name: place.namespace || OUTSIDE[place.kind] || place.kind,
    kind: place.namespace ? "Namespace" : place.kind,
    places: [],
  };
}

export function titleOf(place) {
  return place.namespace ? `${place.namespace}/${place.name}` : place.name;
}

/* `extra` are edges that are not in this window (removed since another one), with the places that they need. */
export function makeModel(data, changes = null) {
  const places = new Map();
  const groups = new Map();
  const pods = new Map();
  const services = changes ? [...data.services, ...changes.places] : data.services;
  for (const one of services) {
    const place = { ...one, title: titleOf(one), out: [], in: [], group: groupIdOf(one) };
    places.set(one.id, place);
    if (!groups.has(place.group)) groups.set(place.group, makeGroup(place));
    groups.get(place.group).places.push(place);
  }
  const edges = (changes ? [...data.edges, ...changes.removed] : data.edges).map((one) => {
    const id = edgeId(one);
    const edge = { ...one, id, state: stateOf(one), change: changes ? changes.of.get(id) || "" : "" };
    edge.from = places.get(one.source);
    edge.to = places.get(one.destination);
    edge.from.out.push(edge);
    edge.to.in.push(edge);
    return edge;
  });
  for (const edge of edges) {
    for (const name of edge.sourcePods) pods.set(name, edge.from);
    for (const one of edge.backends) pods.set(one.pod, edge.to);
  }
  const byId = new Map(edges.map((edge) => [edge.id, edge]));
  return { data, places, groups, edges, byId, pods, changes };
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
  const joined = new Map();
  for (const edge of edges) {
    const [from, to] = [keyOf(edge.from), keyOf(edge.to)];
    if (from === undefined || to === undefined) continue;
    const id = `pair:${from}>${to}`;
    let pair = joined.get(id);
    if (!pair) joined.set(id, (pair = { id, from, to, edges: [] }));
    pair.edges.push(edge);
  }
  for (const pair of joined.values()) {
    Object.assign(pair, sumOf(pair.edges));
    pair.edges.sort((a, b) => b.failed - a.failed || b.attempts - a.attempts);
    pair.state = stateOf(pair);
    pair.change = changeOf(pair.edges);
  }
  return [...joined.values()];
}

function changeOf(edges) {
  const kinds = new Set(edges.map((edge) => edge.change));
  if (kinds.size === 1) return edges[0].change;
  return kinds.has("added") ? "added" : kinds.has("removed") ? "removed" : "changed";
}
