/* The matrix on a canvas: only what is in sight; names where they have room. */

import { textWidth } from "./text_size.js";

export const EDGE = 168; // pixels for names at the left and above
const CELL_FROM = 3.2; // pixels of a cell from which cells are drawn beside blocks
const BORDER_FROM = 7; // pixels between two lines that part groups
const NAMES_FROM = 13; // pixels of a cell from which each service is named
const FONT = 'system-ui, "DejaVu Sans", sans-serif';

function begin(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(w * scale)) canvas.width = Math.round(w * scale);
  if (canvas.height !== Math.round(h * scale)) canvas.height = Math.round(h * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, w, h);
  return { context, w, h };
}

function paintOf(cell, comparing, paints) {
  if (comparing) return cell.change ? paints[cell.change] : paints.line;
  if (cell.failed) return cell.established ? paints.some : paints.bad;
  return paints.accent;
}

/* The text, or as much of it as has room: the note below the matrix and the panel always have the whole. */
function shortened(text, room, size) {
  if (textWidth(text, size) <= room) return text;
  let end = text.length;
  while (end > 1 && textWidth(`${text.slice(0, end)}…`, size) > room) end -= 1;
  return end > 3 ? `${text.slice(0, end)}…` : "";
}

export function drawMatrix(canvas, matrix, paints) {
  const { context, w, h } = begin(canvas);
  const { x, y, k } = matrix.motion.view;
  const size = matrix.order.length;
  const comparing = Boolean(matrix.model.changes);
  const [left, top, right, bottom] = [Math.max(EDGE, x), Math.max(EDGE, y), Math.min(w, x + size * k), Math.min(h, y + size * k)];
  context.save();
  context.beginPath();
  context.rect(left, top, Math.max(0, right - left), Math.max(0, bottom - top));
  context.clip();
  context.fillStyle = paints.card;
  context.fillRect(left, top, right - left, bottom - top);
  drawGroups(context, matrix, paints, { left, top, right, bottom });
  if (k < CELL_FROM * 2) drawBlocks(context, matrix, paints, comparing);
  shadeBlind(context, matrix, paints, { left: Math.max(left, x), top: Math.max(top, y), right: Math.min(right, x + matrix.order.length * k), bottom: Math.min(bottom, y + matrix.order.length * k) });
  drawCells(context, matrix, paints, comparing, { left, top, right, bottom });
  if (matrix.cursor) {
    const [row, column] = matrix.cursor;
    context.fillStyle = paints.accent;
    context.globalAlpha = 0.14;
    context.fillRect(left, y + row * k, right - left, Math.max(1, k));
    context.fillRect(x + column * k, top, Math.max(1, k), bottom - top);
    context.globalAlpha = 1;
    context.strokeStyle = paints.ink;
    context.lineWidth = 1.5;
    context.strokeRect(x + column * k, y + row * k, Math.max(4, k), Math.max(4, k));
  }
  context.restore();
  context.lineWidth = 1;
  drawNames(context, matrix, paints, { left, top, right, bottom });
}

/* A box around what each group has within itself, and a line between two groups where there is room: no area, which
would look like one that was not observed. */
function drawGroups(context, matrix, paints, { left, top, right, bottom }) {
  const { x, y, k } = matrix.motion.view;
  let last = -BORDER_FROM;
  for (const span of matrix.spans) {
    const [start, long] = [span.start * k, (span.end - span.start) * k];
    if (start - last >= BORDER_FROM) {
      context.fillStyle = paints.line;
      context.fillRect(left, y + start, right - left, 1);
      context.fillRect(x + start, top, 1, bottom - top);
      last = start;
    }
    context.strokeStyle = paints.edge;
    context.globalAlpha = 0.7;
    context.strokeRect(x + start, y + start, long, long);
    context.globalAlpha = 1;
  }
}

/* From afar: how much of each block of two groups has connects. */
function drawBlocks(context, matrix, paints, comparing) {
  const { x, y, k } = matrix.motion.view;
  for (const block of matrix.blocks.values()) {
    const [rows, columns] = [block.from.end - block.from.start, block.to.end - block.to.start];
    context.globalAlpha = Math.min(0.5, 0.07 + 0.5 * Math.sqrt(block.cells / (rows * columns)));
    context.fillStyle = comparing ? paints.line : block.failed ? paints.some : paints.accent;
    context.fillRect(x + block.to.start * k, y + block.from.start * k, columns * k, rows * k);
  }
  context.globalAlpha = 1;
}

/* Rows and columns of which some node was not observed: there, an empty cell proves nothing. */
function shadeBlind(context, matrix, paints, { left, top, right, bottom }) {
  const { x, y, k } = matrix.motion.view;
  context.fillStyle = paints.soft;
  context.globalAlpha = 0.2;
  matrix.blind.forEach((blind, at) => {
    if (!blind) return;
    if (y + at * k < bottom && y + (at + 1) * k > top) context.fillRect(left, y + at * k, right - left, k);
    if (x + at * k < right && x + (at + 1) * k > left) context.fillRect(x + at * k, top, k, bottom - top);
  });
  context.globalAlpha = 1;
}

function drawCells(context, matrix, paints, comparing, sight) {
  const { x, y, k } = matrix.motion.view;
  const side = Math.max(1.1, k - (k > 6 ? 1.5 : 0));
  for (const cell of matrix.cells.values()) {
    const [at, down] = [x + cell.column * k, y + cell.row * k];
    if (at > sight.right || down > sight.bottom || at + k < sight.left || down + k < sight.top) continue;
    context.fillStyle = paintOf(cell, comparing, paints);
    context.globalAlpha = cell.failed || cell.change ? 1 : Math.min(1, 0.35 + 0.13 * Math.log10(1 + cell.attempts));
    context.fillRect(at, down, side, side);
  }
  context.globalAlpha = 1;
}

function drawNames(context, matrix, paints, { left, top, right, bottom }) {
  const { x, y, k } = matrix.motion.view;
  const [chosenRow, chosenColumn] = matrix.cursor || [-1, -1];
  context.textBaseline = "middle";
  const write = (text, along, low, high, across, strong) => {
    const size = strong ? 12 : 11;
    context.font = `${strong ? 600 : 400} ${size}px ${FONT}`;
    context.fillStyle = strong ? paints.ink : paints.soft;
    const shown = shortened(text, EDGE - 16, size);
    context.save();
    if (across) {
      context.translate(along, top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
    } else {
      context.translate(left - 8, along);
      context.textAlign = "right";
    }
    context.fillText(shown, 0, 0);
    context.restore();
  };
  for (const across of [false, true]) {
    const [origin, low, high] = across ? [x, left, right] : [y, top, bottom];
    const cursor = across ? chosenColumn : chosenRow;
    const visible = (at) => at >= low - 1 && at <= high + 1;
    if (k >= NAMES_FROM) {
      const [first, last] = [Math.max(0, Math.floor((low - origin) / k)), Math.min(matrix.order.length, Math.ceil((high - origin) / k))];
      for (let at = first; at < last; at += 1) {
        const middle = origin + (at + 0.5) * k;
        if (visible(middle)) write(matrix.order[at].name, middle, low, high, across, at === cursor);
      }
      continue;
    }
    let free = low;
    for (const span of matrix.spans) {
      const [start, end] = [Math.max(low, origin + span.start * k), Math.min(high, origin + span.end * k)];
      const middle = (start + end) / 2;
      if (end <= start || middle - 7 < free - 1) continue;
      write(span.name, middle, low, high, across, cursor >= span.start && cursor < span.end);
      free = middle + 7;
    }
  }
}
