/* Lines on a canvas below the boxes: how they are drawn, and which one is below the pointer. */

import { colour } from "./dom.js";
import { pointsAlong } from "./routes.js";

const NEAR = 7; // pixels

export function widthOf(edge) {
  return Math.min(5, 1 + 0.6 * Math.log10(1 + edge.attempts));
}

/* The name of the colour of an edge: its change since another window if windows are compared, else its state. */
export function paintOf(edge, comparing) {
  if (comparing) return edge.change || "edge";
  return edge.state === "ok" ? "edge" : edge.state;
}

function sizeCanvas(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
    canvas.width = Math.round(w * scale);
    canvas.height = Math.round(h * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, w, h);
  return context;
}

function trace(context, { x, y, curves }) {
  context.beginPath();
  context.moveTo(x, y);
  for (const [a, b, c, d, x1, y1] of curves) context.bezierCurveTo(a, b, c, d, x1, y1);
}

function arrow(context, path, width, faded) {
  const [, , cx, cy, x, y] = path.curves.at(-1);
  const far = Math.hypot(x - cx, y - cy) || 1;
  const [dx, dy] = [(x - cx) / far, (y - cy) / far];
  const size = (faded ? 4 : 5.5) + width;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - dx * size - dy * size * 0.5, y - dy * size + dx * size * 0.5);
  context.lineTo(x - dx * size + dy * size * 0.5, y - dy * size - dx * size * 0.5);
  context.fill();
}

/* lines [{edge, path, lit}] of a view {x, y, k}; with any lit line the others are faint. */
export function drawLines(canvas, view, lines, comparing) {
  const context = sizeCanvas(canvas);
  context.translate(view.x, view.y);
  context.scale(view.k, view.k);
  const paints = Object.fromEntries(["edge", "some", "bad", "added", "removed", "changed", "accent"].map((name) => [name, colour(name)]));
  const anyLit = lines.some((line) => line.lit);
  const rank = (line) => (line.lit ? 2 : 0) + (paintOf(line.edge, comparing) === "edge" ? 0 : 1);
  for (const line of [...lines].sort((a, b) => rank(a) - rank(b))) {
    const name = paintOf(line.edge, comparing);
    const plain = name === "edge";
    const width = widthOf(line.edge);
    context.globalAlpha = anyLit ? (line.lit ? 1 : 0.12) : comparing && plain ? 0.25 : plain ? 0.5 : 0.85;
    context.strokeStyle = context.fillStyle = line.lit && plain ? paints.accent : paints[name];
    context.lineWidth = width;
    context.setLineDash(name === "bad" || name === "removed" ? [6, 4] : []);
    trace(context, line.path);
    context.stroke();
    context.setLineDash([]);
    arrow(context, line.path, width, anyLit && !line.lit);
  }
  context.globalAlpha = 1;
}

/* The line within a few pixels of (x, y) of the stage, or null. */
export function lineAt(view, lines, x, y) {
  const [px, py] = [(x - view.x) / view.k, (y - view.y) / view.k];
  let [best, nearest] = [null, NEAR / view.k];
  for (const line of lines) {
    line.points ||= pointsAlong(line.path);
    for (let at = 1; at < line.points.length; at += 1) {
      const [[x1, y1], [x2, y2]] = [line.points[at - 1], line.points[at]];
      const [dx, dy] = [x2 - x1, y2 - y1];
      const along = Math.max(0, Math.min(1, ((px - x1) * dx + (py - y1) * dy) / (dx * dx + dy * dy || 1)));
      const far = Math.hypot(px - x1 - along * dx, py - y1 - along * dy);
      if (far < nearest) [best, nearest] = [line, far];
    }
  }
  return best;
}
