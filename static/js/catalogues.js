// The catalogue's pages: choosing many pictures, and sending an upload with a bar. Both work without this script.
for (const form of document.querySelectorAll("[data-choose]")) {
  const boxes = [...form.querySelectorAll("input[name=items]")];
  const buttons = form.querySelectorAll("[data-needs-choice]");
  const all = form.querySelector("[data-choose-all]");
  const words = form.querySelector("[data-choose-count]");
  if (!words) continue;
  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    buttons.forEach((button) => { button.disabled = chosen === 0; });
    words.textContent = chosen === 1 ? "1 picture chosen:" : `${chosen} pictures chosen:`;
    all.textContent = chosen === boxes.length ? "Choose none" : "Choose all on this page";
  };
  all.hidden = false;
  all.addEventListener("click", () => {
    const every = boxes.every((box) => box.checked);
    boxes.forEach((box) => { box.checked = !every; });
    show();
  });
  form.addEventListener("change", show);
  // A page restored by the back button keeps its boxes.
  addEventListener("pageshow", show);
}

for (const form of document.querySelectorAll("[data-upload]")) {
  const area = form.querySelector("[data-upload-progress]");
  const bar = area.querySelector("[role=progressbar]");
  const words = area.querySelector("[data-upload-words]");
  const refusal = form.querySelector("[data-upload-refusal]");
  const button = form.querySelector("[data-needs-files]");
  const label = button.textContent;
  let request = null;

  const show = (loaded, total) => {
    const percent = total ? Math.round((100 * loaded) / total) : 0;
    bar.setAttribute("aria-valuenow", percent);
    bar.firstElementChild.style.setProperty("--percent", `${percent}%`);
    words.textContent = percent < 100 ? `Uploading: ${percent} %` : "Uploaded. The server is looking at it…";
  };

  const end = (sentence) => {
    request = null;
    area.hidden = true;
    button.disabled = false;
    button.textContent = label;
    refusal.hidden = !sentence;
    refusal.firstElementChild.textContent = sentence;
  };

  const answered = () => {
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* Not from this page; the sentence below says so. */ }
    if (request.status === 201) location.assign(answer.url);
    else end(answer.detail || `The upload was refused (status ${request.status}). Reload the page and try again.`);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    refusal.hidden = true;
    area.hidden = false;
    show(0, 0);
    request = new XMLHttpRequest();
    request.open("POST", form.action || location.href);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (progress) => show(progress.loaded, progress.total));
    request.addEventListener("load", answered);
    request.addEventListener("error", () => end("The connection broke. Nothing was imported; try again."));
    request.addEventListener("abort", () => end(""));
    request.send(new FormData(form));
  });
  area.querySelector("[data-upload-cancel]").addEventListener("click", () => request?.abort());
  addEventListener("beforeunload", (event) => { if (request && request.readyState < 4) event.preventDefault(); });
}
