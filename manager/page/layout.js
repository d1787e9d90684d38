/* Where everything is on the map: `arrange(graph)`. The same services are in the same places at every visit. */
"use strict";

const CROWD = 60; // nodes; beyond, each namespace is laid out by itself and the boxes stand side by side
const FEW = 40; // nodes whose places are improved one by one
const GAP = 70;
const TRIES = 32; // arrangements of a small map, of which the most legible one is shown
const WORK = 900; // services, namespaces and lines that are laid out at most in all of them

/* fcose asks Math.random; a generator of our own makes its answer repeatable (mulberry32). */
function withSeed(seed, work) {
  const before = Math.random;
  let state = seed;
  Math.random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  try {
    return work();
  } finally {
    Math.random = before;
  }
}

function force(elements, quality, changed = {}) {
  elements.layout({
    name: "fcose", quality, animate: false, randomize: true, nodeSeparation: 110, idealEdgeLength: 130, nodeRepulsion: 9000,
    packComponents: false, nodeDimensionsIncludeLabels: true, fit: false, tilingPaddingVertical: 22, tilingPaddingHorizontal: 22,
    ...changed,
  }).run();
}

/* Tries differ in chance, in how strongly all is drawn together, and in how long lines are. */
function variant(seed) {
  return { gravity: [0.25, 0.6, 1.2][seed % 3], gravityRange: 2, idealEdgeLength: [130, 112, 150][Math.floor(seed / 3) % 3] };
}

function crosses(a, b, c, d) {
  const side = (p, q, r) => Math.sign((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  return side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);
}

/* How hard it is to read: lines that cross, worse those that run below a node which is not theirs, worst nodes that touch. */
function tangle(boxes, lines) {
  let found = 0;
  lines.forEach(([from, to], index) => {
    const [start, end] = [boxes[from], boxes[to]];
    found += Math.hypot(start.x - end.x, start.y - end.y) / 400;
    for (const [other, further] of lines.slice(index + 1)) {
      const shared = from === other || from === further || to === other || to === further;
      if (!shared && crosses(start, end, boxes[other], boxes[further])) found += 1;
    }
    boxes.forEach(({ x, y, w, h }, at) => {
      if (at === from || at === to) return;
      const corners = [{ x: x - w, y: y - h }, { x: x + w, y: y + h }, { x: x - w, y: y + h }, { x: x + w, y: y - h }];
      if (crosses(start, end, corners[0], corners[1]) || crosses(start, end, corners[2], corners[3])) found += 12;
    });
  });
  boxes.forEach((one, index) => {
    for (const other of boxes.slice(index + 1)) {
      if (Math.abs(one.x - other.x) < one.w + other.w + 24 && Math.abs(one.y - other.y) < one.h + other.h + 30) found += 30;
    }
  });
  return found;
}

/* Each node of a namespace in turn goes where the whole is read most easily, until none has a better place. */
function untangle(nodes, edges) {
  const at = new Map(nodes.map((node, index) => [node.id(), index]));
  const boxes = nodes.map((node) => ({ ...node.position(), w: node.width() / 2 + 6, h: node.height() / 2 + 6, free: Boolean(node.data("parent")) }));
  const lines = edges.map((edge) => [at.get(edge.source().id()), at.get(edge.target().id())]).filter(([from, to]) => from !== to);
  const steps = [60, 130].flatMap((far) => Array.from({ length: 8 }, (_, n) => [far * Math.cos((n * Math.PI) / 4), far * Math.sin((n * Math.PI) / 4)]));
  let best = tangle(boxes, lines);
  for (let round = 0, better = true; better && round < 4; round += 1) {
    better = false;
    for (const box of boxes.filter((one) => one.free)) {
      const { x, y } = box;
      let place = { x, y };
      for (const [right, down] of steps) {
        Object.assign(box, { x: x + right, y: y + down });
        const score = tangle(boxes, lines);
        if (score < best - 0.1) [best, place, better] = [score, { x: box.x, y: box.y }, true];
      }
      Object.assign(box, place);
    }
  }
  boxes.forEach(({ x, y }, index) => nodes[index].position({ x, y }));
}

function through(a, b, { x1, y1, x2, y2 }) {
  return crosses(a, b, { x: x1, y: y1 }, { x: x2, y: y2 }) || crosses(a, b, { x: x1, y: y2 }, { x: x2, y: y1 });
}

function near(one, other, gap) {
  return one.x1 - gap < other.x2 && other.x1 - gap < one.x2 && one.y1 - gap < other.y2 && other.y1 - gap < one.y2;
}

/* How well a small map reads on its stage: large, with few lines across others, across namespaces and services that they do
   not end in, or across a namespace's name, and with all boxes apart. */
function legibility(graph) {
  const box = (node) => [node, node.boundingBox({ includeLabels: false, includeOverlays: false })];
  const groups = graph.nodes(".group").map(box);
  const services = graph.nodes().not(".group").map(box);
  const names = groups.map(([, { x1, x2, y1 }]) => ({ x1: (x1 + x2) / 2 - 32, x2: (x1 + x2) / 2 + 32, y1: y1 - 20, y2: y1 }));
  const lines = graph.edges().map((edge) => [edge.source(), edge.target()]);
  let hurt = 0;
  lines.forEach(([source, target], index) => {
    const [a, b] = [source.position(), target.position()];
    const ends = source.union(target).union(source.parent()).union(target.parent());
    for (const [from, to] of lines.slice(index + 1)) {
      if (!from.union(to).anySame(source.union(target)) && crosses(a, b, from.position(), to.position())) hurt += 1;
    }
    for (const [node, its] of services) if (!ends.contains(node) && through(a, b, its)) hurt += 3;
    for (const [node, its] of groups) if (!ends.contains(node) && through(a, b, its)) hurt += 1;
    for (const its of names) if (through(a, b, its)) hurt += 0.5;
  });
  for (const [boxes, gap] of [[groups, 24], [services, 12]]) {
    boxes.forEach(([, one], index) => boxes.slice(index + 1).forEach(([, other]) => {
      hurt += near(one, other, 0) ? 6 : near(one, other, gap) ? 1 : 0;
    }));
  }
  const { w, h } = graph.elements().boundingBox();
  return Math.min(1.3, graph.width() / (w + 100), graph.height() / (h + 100)) * 0.9 ** hurt;
}

/* A small map as a whole: of several arrangements the most legible, its nodes then moved one by one where that helps. */
function placedBest(graph, nodes) {
  let best = { score: -1 };
  const compare = () => {
    const score = legibility(graph);
    if (score > best.score) best = { score, places: nodes.map((node) => ({ ...node.position() })) };
  };
  byNamespace(graph, nodes);
  compare();
  const tries = Math.max(1, Math.min(TRIES, Math.floor(WORK / graph.elements().length)));
  for (let seed = 1; seed <= tries; seed += 1) {
    withSeed(seed, () => force(graph.elements(), "proof", variant(seed)));
    compare();
  }
  const back = () => nodes.forEach((node, index) => node.position(best.places[index]));
  back();
  if (nodes.length > FEW) return;
  untangle(nodes.toArray(), graph.edges().toArray());
  compare();
  back();
}

function placed(elements, all) {
  withSeed(1, () => force(elements, all > 5 * CROWD ? "draft" : "proof"));
  const nodes = elements.nodes().filter((node) => !node.isParent());
  if (nodes.length <= FEW && all <= 5 * CROWD) untangle(nodes.toArray(), elements.edges().toArray());
}

/* Boxes in rows no wider than that, the tall ones first: where each is, and how large the whole is. */
function rowsOf(boxes, wide) {
  const places = [];
  let [x, y, tall, w] = [0, 0, 0, 0];
  for (const one of boxes) {
    if (x > 0 && x + one.w > wide) [x, y, tall] = [0, y + tall + GAP, 0];
    places.push([one, x, y]);
    w = Math.max(w, x + one.w);
    x += one.w + GAP;
    tall = Math.max(tall, one.h);
  }
  return { places, w, h: y + tall };
}

/* The rows that can be shown largest on a stage. */
function inRows(boxes, width, height) {
  const sorted = [...boxes].sort((a, b) => b.h - a.h);
  const widest = Math.max(...boxes.map((one) => one.w));
  const area = boxes.reduce((sum, one) => sum + (one.w + GAP) * (one.h + GAP), 0);
  const widths = Array.from({ length: 40 }, (_, n) => Math.max(widest, Math.sqrt(area * (width / height)) * (0.6 + n / 25)));
  const zoom = (rows) => Math.min(width / rows.w, height / rows.h);
  const best = widths.map((wide) => rowsOf(sorted, wide)).reduce((a, b) => (zoom(b) > zoom(a) ? b : a));
  for (const [one, x, y] of best.places) one.move(x, y);
}

function boxOf(nodes) {
  const bounds = nodes.boundingBox({ includeLabels: false, includeOverlays: false });
  return {
    w: bounds.w + 44, // what a namespace's frame and name take
    h: bounds.h + 64,
    move: (x, y) => nodes.shift({ x: x + 22 - bounds.x1, y: y + 42 - bounds.y1 }),
  };
}

/* A namespace on its own: what is connected by force, the rest below it as a list. */
function ownBox(nodes, all) {
  const inner = nodes.edgesWith(nodes);
  const joined = nodes.filter((node) => node.edgesWith(nodes).nonempty());
  const alone = nodes.difference(joined);
  if (joined.nonempty()) placed(joined.union(inner), all);
  if (alone.nonempty()) {
    const above = joined.nonempty() ? joined.boundingBox({ includeLabels: false }) : { x1: 0, y2: 0, w: 0 };
    const columns = Math.max(1, Math.min(alone.length, Math.round(Math.max(above.w, 150 * Math.sqrt(alone.length)) / 150)));
    alone.forEach((node, index) => {
      node.position({ x: above.x1 + 70 + 150 * (index % columns), y: above.y2 + 40 + 46 * Math.floor(index / columns) });
    });
  }
  return boxOf(nodes);
}

/* Each namespace by itself, the boxes side by side: none lies on another. */
function byNamespace(graph, nodes) {
  const spaces = new Map();
  for (const node of nodes.toArray()) spaces.set(node.data("parent") || "", [...(spaces.get(node.data("parent") || "") || []), node]);
  const boxes = [...spaces].map(([, members]) => ownBox(graph.collection(members), nodes.length));
  inRows(boxes, Math.max(1, graph.width()), Math.max(1, graph.height()));
}

function arrange(graph) {
  const nodes = graph.nodes().filter((node) => !node.hasClass("group"));
  if (nodes.length > CROWD) byNamespace(graph, nodes);
  else if (nodes.nonempty()) placedBest(graph, nodes);
}
