/* Follows a log stream by Server-Sent Events; a broken answer is continued after the last line that came. */

const AGAIN_MS = 1000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* Calls `add(line)` for each line and `state(text)` for what happens, until the stream is closed or the signal aborts. */
export async function followStream({ account, key }, headers, { add, state }, signal) {
  let last = "";
  while (!signal.aborted) {
    try {
      const query = new URLSearchParams({ accountID: account, key });
      const after = last ? { "Last-Event-ID": last } : {};
      const answer = await fetch(`/log-service/stream?${query}`, { headers: { ...headers(), ...after }, cache: "no-store", signal });
      if (answer.status === 404) state("No line was written yet.");
      else if (!answer.ok) state(`The manager answered ${answer.status}.`);
      else {
        state("Live.");
        for await (const event of events(answer.body)) {
          if (event.data === "eof" && event.event === "error") break;
          if (event.id) last = event.id;
          if (event.data) add(JSON.parse(event.data));
        }
        if (!(await isOpen(account, key, headers, signal))) return state("Closed.");
      }
    } catch (error) {
      if (signal.aborted) return null;
      state("Not connected; trying again.");
    }
    await pause(AGAIN_MS);
  }
  return null;
}

async function isOpen(account, key, headers, signal) {
  const path = `/v1/logs/${encodeURIComponent(key)}/info?${new URLSearchParams({ accountID: account })}`;
  const answer = await fetch(path, { headers: headers(), cache: "no-store", signal });
  return !answer.ok || (await answer.json()).isOpen;
}

/* The events of a body: objects of their fields. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const row of block.split("\n")) {
        const at = row.indexOf(": ");
        if (at > 0) fields[row.slice(0, at)] = row.slice(at + 2);
      }
      yield fields;
    }
  }
}
