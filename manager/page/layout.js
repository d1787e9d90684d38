/* Where everything is on the map: `arrange(graph)`. The same services are in the same places at every visit. */
"use strict";

const CROWD = 60; // nodes; beyond, each namespace is laid out by itself and the boxes stand side by side
const FEW = 40; // nodes whose places are improved one by one
const GAP = 70;

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

function force(elements, quality) {
  elements.layout({
    name: "fcose", quality, animate: false, randomize: true, nodeSeparation: 110, idealEdgeLength: 130, nodeRepulsion: 9000,
    packComponents: false, nodeDimensionsIncludeLabels: true, fit: false, tilingPaddingVertical: 22, tilingPaddingHorizontal: 22,
  }).run();
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

function arrange(graph) {
  const nodes = graph.nodes().filter((node) => !node.hasClass("group"));
  if (nodes.length <= CROWD) {
    if (nodes.nonempty()) placed(graph.elements(), nodes.length);
  } else {
    const spaces = new Map();
    for (const node of nodes.toArray()) spaces.set(node.data("parent") || "", [...(spaces.get(node.data("parent") || "") || []), node]);
    const boxes = [...spaces].map(([, members]) => ownBox(graph.collection(members), nodes.length));
    inRows(boxes, Math.max(1, graph.width()), Math.max(1, graph.height()));
  }
}
