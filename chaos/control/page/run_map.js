/* The edges of a run as a drawing: predicted ones have an outline, each has the colour and the word of its state. */

import { make, makeSvg, place } from "/page/dom.js";
import { layeredBlock } from "/page/layered_layout.js";
import { curvesOf, pointsAlong, routeInBlock, slotsOf } from "/page/routes.js";
import { linesOf, textWidth } from "/page/text_size.js";

const NARROW = 620;
const PAD = 16;
const ARROW = 7;
const WORDS = new Set(["bad", "some", "added"]); // the others are told by their line alone, and in the table

const KINDS = { service: "Service", external: "External", node: "Node", unresolved: "Unresolved" };

/* `service/shop/cart` -> {name: "cart", space: "shop", kind: "Service"}; of any other kind it is a workload's. */
export function placeOf(id) {
  const [word, ...rest] = id.split("/");
  const kind = KINDS[word] || "Workload";
  return rest.length > 1 ? { kind, space: rest[0], name: rest.slice(1).join("/") } : { kind, space: "", name: rest[0] || id };
}

function itemOf(id, wide) {
  const { name, space } = placeOf(id);
  const w = Math.min(wide, Math.max(84, Math.ceil(Math.max(textWidth(name, 13, 600), textWidth(space, 11.5))) + 26));
  const lines = linesOf(name, w - 24, 13, 600) * 18 + (space ? linesOf(space, w - 24, 11.5) * 15 : 0);
  return { id, w, h: lines + 16 };
}

const turned = ({ x, y, w, h, ...rest }) => ({ ...rest, x: y, y: x, w: h, h: w });

/* boxes: Map(id -> {x, y, w, h}), lines: [{edge, path, label, end}]; on a narrow stage callers stand above what they call. */
export function layoutRun(edges, width) {
  const narrow = width < NARROW;
  const ids = [...new Set(edges.flatMap((edge) => [edge.source, edge.destination]))];
  const items = ids.map((id) => itemOf(id, narrow ? 116 : 190));
  const links = edges.map((edge) => ({ id: edge.key, from: edge.source, to: edge.destination, weight: 1 }));
  const options = narrow ? { most: 12, gapX: 62, gapY: 10 } : { most: 6, gapX: 120, gapY: 18 };
  const block = layeredBlock(narrow ? items.map((one) => ({ id: one.id, w: one.h, h: one.w })) : items, links, options);
  const slots = slotsOf(links, block.boxes);
  const boxes = new Map([...block.boxes].map(([id, box]) => [id, narrow ? turned(box) : box]));
  const flip = ([x, y]) => (narrow ? [y, x] : [x, y]);
  const taken = [...boxes.values()];
  const lines = edges.map((edge) => {
    const [a, b] = [block.boxes.get(edge.source), block.boxes.get(edge.destination)];
    const path = curvesOf(routeInBlock(block.columns, a, b, slots.get(`from:${edge.key}`), slots.get(`to:${edge.key}`)));
    const points = pointsAlong(path).map(flip);
    const label = WORDS.has(edge.class) ? wordOf(edge.state, points, taken) : null;
    if (label) taken.push(label);
    return { edge, path: drawn(path, flip), label, end: arrowOf(points) };
  });
  return { boxes, lines, w: narrow ? block.h : block.w, h: narrow ? block.w : block.h };
}

function drawn({ x, y, curves }, flip) {
  const pair = (a, b) => flip([a, b]).map((one) => one.toFixed(1)).join(" ");
  return `M${pair(x, y)}${curves.map(([a, b, c, d, e, f]) => `C${pair(a, b)} ${pair(c, d)} ${pair(e, f)}`).join("")}`;
}

/* Where the word of a line's state is read: at the point that is farthest from every box, and from the words before it. */
function wordOf(text, points, taken) {
  const w = textWidth(text, 11.5, 600) + 4;
  const at = ([px, py]) => ({ x: px - w / 2, y: py - 8, w, h: 16 });
  const apart = (a, b) => Math.hypot(Math.max(a.x - b.x - b.w, b.x - a.x - a.w, 0), Math.max(a.y - b.y - b.h, b.y - a.y - a.h, 0));
  const room = (point) => Math.min(...taken.map((other) => apart(at(point), other)));
  return at(points.reduce((best, point) => (room(point) > room(best) ? point : best)));
}

/* A triangle at the end of a line, in its direction. */
function arrowOf(points) {
  const [x, y] = points.at(-1);
  const [x0, y0] = points.findLast(([px, py]) => Math.hypot(px - x, py - y) > ARROW) || points[0];
  const length = Math.hypot(x - x0, y - y0) || 1;
  const [ux, uy] = [(x - x0) / length, (y - y0) / length];
  const corner = (side) => `${(x - ux * ARROW - uy * side).toFixed(1)} ${(y - uy * ARROW + ux * side).toFixed(1)}`;
  return `M${x.toFixed(1)} ${y.toFixed(1)}L${corner(4)}L${corner(-4)}Z`;
}

/* Draws edges into a host; `choose(edge)` is called for the one that is clicked, or entered by the keyboard. */
export function drawRun(host, edges, choose) {
  const layout = layoutRun(edges, host.clientWidth);
  const [w, h] = [layout.w + 2 * PAD, layout.h + 2 * PAD];
  const svg = makeSvg("svg", { width: w, height: h, viewBox: `${-PAD} ${-PAD} ${w} ${h}` });
  for (const { edge, path, end, label } of layout.lines) {
    const parts = [makeSvg("title"), makeSvg("path", { d: path, class: "reach" })];
    parts[0].textContent = edge.sentence;
    if (edge.predicted) parts.push(makeSvg("path", { d: path, class: "outline" }));
    parts.push(makeSvg("path", { d: path, class: "line" }), makeSvg("path", { d: end, class: "arrow" }));
    if (label) {
      const word = makeSvg("text", { x: label.x + label.w / 2, y: label.y + 12, "text-anchor": "middle" });
      word.textContent = edge.state;
      parts.push(word);
    }
    const group = makeSvg("g", { class: `edge ${edge.class}`, tabindex: "0", role: "button", "aria-label": edge.sentence, "data-key": `map ${edge.key}` }, parts);
    group.addEventListener("click", () => choose(edge));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(edge);
    });
    svg.append(group);
  }
  const stage = make("div", null, { class: "stage" });
  Object.assign(stage.style, { width: `${w}px`, height: `${h}px` });
  for (const [id, box] of layout.boxes) {
    const { name, space, kind } = placeOf(id);
    const card = make("div", null, { class: `box ${kind}`, "data-id": id }, [make("span", name, { class: "name" })]);
    if (space) card.append(make("span", space, { class: "space" }));
    place(card, { ...box, x: box.x + PAD, y: box.y + PAD });
    stage.append(card);
  }
  stage.append(svg);
  host.replaceChildren(stage);
}
