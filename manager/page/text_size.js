/* How much room a name takes, so that boxes fit their names: names are wrapped, never cut. */

const FONT = 'system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
const SPARE = 1.04; // letters are not as wide on every screen
const widths = new Map();
let context = null;

export function textWidth(text, size, weight = 400) {
  const key = `${weight} ${size} ${text}`;
  if (!widths.has(key)) {
    context ||= document.createElement("canvas").getContext("2d");
    context.font = `${weight} ${size}px ${FONT}`;
    widths.set(key, context.measureText(text).width * SPARE);
  }
  return widths.get(key);
}

/* Lines that a name takes in a box of that width, broken as the browser does: after hyphens, else anywhere. */
export function linesOf(text, width, size, weight = 400) {
  if (textWidth(text, size, weight) <= width) return 1;
  let [lines, used] = [1, 0];
  for (const part of text.split(/(?<=[-/ ])(?=[^0-9])/)) {
    const wide = textWidth(part, size, weight);
    if (used + wide <= width) {
      used += wide;
    } else if (wide <= width) {
      lines += 1;
      used = wide;
    } else {
      const taken = used ? 1 : 0;
      lines += Math.ceil(wide / (width * 0.94)) - 1 + taken;
      used = wide % width;
    }
  }
  return lines;
}
