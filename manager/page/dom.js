/* Elements and numbers: every text from the cluster becomes a text node, never markup. */

const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const SHORT_PLAIN = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);
export const count = (number) => COUNT.format(number);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
export const short = (number) => SHORT.format(number);

/* `3.4 MiB`; below 1 KiB the number itself. */
export function bytes(number) {
  const power = number < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(number) / 10));
  return `${SHORT_PLAIN.format(number / 1024 ** power)} ${UNITS[power]}`;
}

/* `3 services`, `1 service`. */
export function counted(number, noun, plural = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

export function make(tag, text, attributes = {}, children = []) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = String(text);
  setAll(element, attributes);
  element.append(...children);
  return element;
}

export function makeSvg(tag, attributes = {}, children = []) {
  const element = document.createElementNS(SVG, tag);
  setAll(element, attributes);
  element.append(...children);
  return element;
}

function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
}

export function button(text, act, attributes = {}) {
  const element = make("button", text, { type: "button", ...attributes });
  element.addEventListener("click", act);
  return element;
}

/* Places an element on a stage; lengths in pixels. */
export function place(element, { x, y, w, h }) {
  Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
}

export function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", text, { value })));
  select.value = chosen;
}

/* The value of a colour of the style sheet. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/* Calls `work` once per frame, however often it is asked for. */
export function perFrame(work) {
  let frame = 0;
  return () => {
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      work();
    });
  };
}
