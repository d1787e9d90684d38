/* Building blocks of the side panel: figures, lists, small graphs. */

import { button, count, make, makeSvg } from "./dom.js";

const LISTED = 30;

export function figures(pairs) {
  const list = make("dl");
  for (const [name, value, kind] of pairs) list.append(make("dt", name), make("dd", value, kind ? { class: kind } : {}));
  return list;
}

/* rows [{name, value, go, kind, hint or hints}] below a heading; the first 30, the rest on demand. */
export function rows(heading, all) {
  if (!all.length) return [];
  const list = make("ul");
  const item = ({ name, value, go, kind, hint, hints }) => {
    const label = go ? button(name, go, { class: `link ${kind || ""}` }) : make("span", name, kind ? { class: kind } : {});
    const entry = make("li", null, {}, [label, make("span", value, { class: "value" })]);
    entry.append(...(hint ? [hint] : hints || []).map((text) => make("small", text)));
    return entry;
  };
  list.append(...all.slice(0, LISTED).map(item));
  if (all.length > LISTED) {
    const more = make("li", null, {}, [button(`${count(all.length - LISTED)} more`, () => {
      more.remove();
      list.append(...all.slice(LISTED).map(item));
    }, { class: "link" })]);
    list.append(more);
  }
  return [make("h3", heading), list];
}

/* A small graph of one number per window, oldest first; a gap where nothing is known. */
export function sparkline(values, label) {
  const [w, h, n] = [280, 36, values.length];
  const most = Math.max(1, ...values.map((one) => one.value || 0));
  const step = w / Math.max(1, n);
  const bars = values.map((one, at) => makeSvg("rect", {
    x: at * step + 1, width: Math.max(1, step - 2), y: h - Math.max(one.value ? 2 : 0.5, (h * (one.value || 0)) / most),
    height: Math.max(one.value ? 2 : 0.5, (h * (one.value || 0)) / most), class: one.failed ? "failed" : "",
  }, [makeSvg("title")]));
  bars.forEach((bar, at) => { bar.firstChild.textContent = values[at].title; });
  return makeSvg("svg", { class: "spark", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": label }, bars);
}
