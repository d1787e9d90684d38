/* Baseline, fault and recovery side by side: the windows of each, and below the fault's the steps at their times. */

import { counted, make } from "/page/dom.js";

const KINDS = [["baseline", "Baseline"], ["fault", "Fault"], ["recovery", "Recovery"]];

const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
const seconds = (ms) => `${Math.round(ms / 1000)} s`;

/* Begin and end in milliseconds of what has times. */
const spanOf = (items) => [Math.min(...items.map((one) => one.start)), Math.max(...items.map((one) => one.end))];

function bar(item, [from, until], attributes, text = "") {
  const part = (ms) => (100 * (ms - from)) / Math.max(1, until - from);
  const element = make("span", text, attributes);
  Object.assign(element.style, { marginLeft: `${part(item.start)}%`, width: `max(4px, ${part(item.end) - part(item.start)}%)` });
  return element;
}

/* windows [{kind, start, end}] as the manager answers, steps [{name, class, start, end}] in milliseconds. */
export function drawTimeline(host, windows, steps) {
  const parts = KINDS.map(([kind, title]) => {
    const own = windows.filter((one) => one.kind === kind).map((one) => ({ start: Date.parse(one.start), end: Date.parse(one.end) }));
    const rows = kind === "fault" ? steps.filter((one) => one.start) : [];
    const all = [...own, ...rows];
    const part = make("li", null, { class: kind }, [make("strong", title)]);
    if (!all.length) {
      part.append(make("small", kind === "recovery" ? "no window yet" : "no window"));
      return part;
    }
    const span = spanOf(all);
    part.append(make("small", `${clock(span[0])} – ${clock(span[1])}, ${counted(own.length, "window")}`));
    const track = make("div", null, { class: "track" });
    for (const one of own) {
      const title = `${clock(one.start)} – ${clock(one.end)}`;
      track.append(make("div", null, { class: "row" }, [bar(one, span, { class: "window", title })]));
    }
    for (const one of rows) {
      const text = `${one.name}, ${seconds(one.end - one.start)}`;
      track.append(make("div", null, { class: "row" }, [bar(one, span, { class: `step ${one.class}` }), make("small", text)]));
    }
    part.append(track);
    return part;
  });
  host.replaceChildren(...parts);
}
