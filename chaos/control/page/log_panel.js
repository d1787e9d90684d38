/* The panel that shows one log stream and follows it: the elements #log, #log-title, #log-state and #lines of a page. */

import { byId, make } from "/page/dom.js";
import { keyHeaders } from "/page/manager_api.js";
import { followStream } from "/experiments/files/log_stream.js";

const LINES_SHOWN = 5000;

let following = null;

export const shortTime = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?Z$/, "") : "–");

function lineItem(line) {
  const item = make("li", null, { class: line.level });
  item.append(make("time", shortTime(line.time)), " ", make("span", line.out));
  const args = Object.entries(line.args || {}).map(([name, value]) => `${name}=${value}`);
  if (args.length) item.append(" ", make("span", args.join(" "), { class: "args" }));
  return item;
}

/* Shows a stream instead of the one before. */
export function showLog(title, { account, key }) {
  following?.abort();
  following = new AbortController();
  byId("log").hidden = false;
  byId("log-title").textContent = title;
  const lines = byId("lines");
  lines.replaceChildren();
  const state = (text) => (byId("log-state").textContent = text);
  const add = (line) => {
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    lines.append(lineItem(line));
    if (lines.childElementCount > LINES_SHOWN) lines.firstElementChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  };
  followStream({ account, key }, keyHeaders, { add, state }, following.signal);
}
