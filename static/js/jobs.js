// Draws a job from its snapshots: over the socket, and by polling when the socket fails. The row in the database is
// the truth, so that a reload or a second tab shows the same.
const POLL_MS = 1500;
const RETRY_MAX_MS = 15000;

export function watchJob(element, onFinal) {
  let seq = 0;
  let over = false;
  let retry = 1000;
  let timer = 0;

  const show = (snapshot) => {
    if (over || snapshot.seq < seq) return;
    seq = snapshot.seq;
    draw(element, snapshot);
    if (snapshot.final) {
      over = true;
      clearTimeout(timer);
      element.dispatchEvent(new CustomEvent("job:final", { bubbles: true, detail: snapshot }));
      if (onFinal) onFinal(snapshot);
    }
  };

  const poll = async () => {
    if (over) return;
    try {
      const answer = await fetch(element.dataset.jobUrl, { headers: { Accept: "application/json" } });
      if (answer.ok) show(await answer.json());
    } catch { /* The network is away; the next try may find it. */ }
    if (!over) timer = setTimeout(poll, POLL_MS);
  };

  const listen = () => {
    if (over) return;
    const address = new URL(element.dataset.jobSocket, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.addEventListener("open", () => { retry = 1000; clearTimeout(timer); });
    socket.addEventListener("message", (event) => show(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (over) return;
      clearTimeout(timer);
      poll();
      setTimeout(listen, retry);
      retry = Math.min(RETRY_MAX_MS, retry * 2);
    });
  };
  listen();
}

function draw(element, snapshot) {
  const bar = element.querySelector("[role=progressbar]");
  if (bar) {
    bar.setAttribute("aria-valuenow", snapshot.percent);
    bar.firstElementChild.style.setProperty("--percent", `${snapshot.percent}%`);
  }
  const list = element.querySelector(".steps");
  if (list) {
    list.replaceChildren(...snapshot.steps.map((step) => {
      const item = document.createElement("li");
      item.dataset.state = step.state;
      item.textContent = step.label;
      if (step.state === "current") item.setAttribute("aria-current", "step");
      return item;
    }));
  }
  const words = element.querySelector("[data-job-words]");
  if (words) words.textContent = inWords(snapshot);
  const cancel = element.querySelector("[data-job-cancel]");
  if (cancel && (snapshot.final || snapshot.cancel_requested)) cancel.hidden = true;
}

function inWords(snapshot) {
  const parts = [snapshot.cancel_requested && !snapshot.final ? "Cancelling" : snapshot.state_label];
  const step = snapshot.steps.find((one) => one.state === "current");
  if (step && !snapshot.final) parts.push(step.label);
  if (snapshot.total > 1 && !snapshot.final) parts.push(`${snapshot.done} of ${snapshot.total}`);
  if (snapshot.note) parts.push(snapshot.note);
  if (snapshot.seconds_left) parts.push(`about ${inTime(snapshot.seconds_left)} left`);
  if (snapshot.error) parts.push(snapshot.error.message);
  return parts.join(" · ");
}

function inTime(seconds) {
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

for (const element of document.querySelectorAll("[data-job-url]")) {
  watchJob(element, () => {
    if ("jobReload" in element.dataset) location.reload();
  });
}
