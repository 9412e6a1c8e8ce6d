// Draws a job from its snapshots: over the socket, and by polling while the socket is away. The row in the database
// is the truth, so that a reload or a second tab shows the same, and a snapshot older than what is shown is dropped.
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;
// After so long in the background a socket may look open while the other end has gone.
const STALE_MS = 30000;

/**
 * Watch one job and draw it into the element.
 *
 * @param {HTMLElement} element with data-job-url (snapshot as JSON) and data-job-socket (address of the socket);
 *   inside it, all optional: [role=progressbar] with one child, .steps, [data-job-words], [data-job-cancel].
 * @param {(snapshot: object) => void} [onFinal] called once, after the event "job:final", which bubbles and has the
 *   snapshot as its detail.
 * @returns {() => void} stops watching.
 */
export function watchJob(element, onFinal) {
  let seq = -1;
  let over = false;
  let socket = null;
  let reconnectWait = FIRST_WAIT_MS;
  let pollWait = FIRST_WAIT_MS;
  let reconnectTimer = 0;
  let pollTimer = 0;
  let hiddenAt = 0;

  const connected = () => socket !== null && socket.readyState === WebSocket.OPEN;

  const stop = () => {
    over = true;
    clearTimeout(reconnectTimer);
    clearTimeout(pollTimer);
    removeEventListener("online", wake);
    document.removeEventListener("visibilitychange", changeOfSight);
    socket?.close();
  };

  const show = (snapshot) => {
    if (over || snapshot.seq < seq) return;
    seq = snapshot.seq;
    draw(element, snapshot);
    element.dispatchEvent(new CustomEvent("job:snapshot", { bubbles: true, detail: snapshot }));
    if (!snapshot.final) return;
    stop();
    element.dispatchEvent(new CustomEvent("job:final", { bubbles: true, detail: snapshot }));
    onFinal?.(snapshot);
  };

  const lose = () => {
    stop();
    say(element, "This can no longer be watched from here. Reload the page to see how it stands.");
  };

  const poll = async () => {
    clearTimeout(pollTimer);
    try {
      const answer = await fetch(element.dataset.jobUrl, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        show(await answer.json());
        pollWait = FIRST_WAIT_MS;
      } else if (answer.status === 404) {
        lose();
      } else {
        pollWait = Math.min(LONGEST_WAIT_MS, pollWait * 2);
      }
    } catch {
      // The network is away; a later try may find it.
      pollWait = Math.min(LONGEST_WAIT_MS, pollWait * 2);
    }
    if (over || connected()) return;
    clearTimeout(pollTimer);
    pollTimer = setTimeout(poll, pollWait);
  };

  const listen = () => {
    if (over) return;
    clearTimeout(reconnectTimer);
    const address = new URL(element.dataset.jobSocket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = new WebSocket(address);
    socket = mine;
    mine.addEventListener("open", () => {
      reconnectWait = FIRST_WAIT_MS;
      clearTimeout(pollTimer);
    });
    mine.addEventListener("message", (event) => show(JSON.parse(event.data)));
    mine.addEventListener("close", () => {
      if (over || socket !== mine) return;
      socket = null;
      poll();
      reconnectTimer = setTimeout(listen, reconnectWait);
      reconnectWait = Math.min(LONGEST_WAIT_MS, reconnectWait * 2);
    });
  };

  // The machine slept, or the network came back: look at once, on a fresh socket.
  const wake = () => {
    if (over) return;
    const old = socket;
    socket = null;
    old?.close();
    reconnectWait = pollWait = FIRST_WAIT_MS;
    poll();
    listen();
  };

  const changeOfSight = () => {
    if (document.hidden) hiddenAt = Date.now();
    else if (Date.now() - hiddenAt > STALE_MS || !connected()) wake();
  };

  const bar = element.querySelector("[role=progressbar]");
  if (bar) fill(bar, bar.getAttribute("aria-valuenow"));
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", changeOfSight);
  listen();
  return stop;
}

function draw(element, snapshot) {
  const bar = element.querySelector("[role=progressbar]");
  if (bar) fill(bar, snapshot.percent);
  const list = element.querySelector(".steps");
  if (list) drawSteps(list, snapshot.steps);
  say(element, inWords(snapshot));
  const cancel = element.querySelector("[data-job-cancel]");
  if (cancel && (snapshot.final || snapshot.cancel_requested)) cancel.hidden = true;
}

function fill(bar, percent) {
  bar.setAttribute("aria-valuenow", percent);
  bar.firstElementChild.style.setProperty("--percent", `${percent}%`);
}

function drawSteps(list, steps) {
  if (list.children.length !== steps.length) list.replaceChildren(...steps.map(() => document.createElement("li")));
  steps.forEach((step, index) => {
    const item = list.children[index];
    if (item.dataset.state !== step.state) item.dataset.state = step.state;
    if (item.textContent !== step.label) item.textContent = step.label;
    if (step.state === "current") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
}

// Only what changed is written, so that a screen reader does not say the same again.
function say(element, sentence) {
  const words = element.querySelector("[data-job-words]");
  if (words && words.textContent !== sentence) words.textContent = sentence;
}

function inWords(snapshot) {
  if (snapshot.cancel_requested && !snapshot.final) return "Cancelling…";
  const parts = [snapshot.state_label];
  const step = snapshot.steps.find((one) => one.state === "current");
  if (step && !snapshot.final) parts.push(step.label);
  if (snapshot.total > 1 && !snapshot.final) parts.push(`${snapshot.done.toLocaleString("en-GB")} of ${snapshot.total.toLocaleString("en-GB")}`);
  if (snapshot.note) parts.push(snapshot.note);
  if (snapshot.seconds_left) parts.push(`${inTime(snapshot.seconds_left)} left`);
  if (snapshot.error) parts.push(snapshot.error.message);
  return parts.join(" · ");
}

function inTime(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} seconds`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 3600)} hours`;
}

for (const element of document.querySelectorAll("[data-job-url]")) {
  watchJob(element, () => {
    if ("jobReload" in element.dataset) location.reload();
  });
}
