// Pages of artworks: counts the characters of a prompt, and renews the preview of a picture on its way.

for (const field of document.querySelectorAll("[data-prompt]")) {
  const area = field.querySelector("textarea");
  const words = field.querySelector("[data-prompt-count]");
  const most = Number(area.dataset.count);
  const show = () => {
    // Counted as the server counts: letters outside the first plane are one, and so is a line's end.
    const count = [...area.value.replace(/\r\n?/g, "\n")].length;
    const over = count > most;
    words.textContent = `${count.toLocaleString("en-GB")} of ${most.toLocaleString("en-GB")} characters${over ? `: ${words.dataset.wordsOver}` : ""}`;
    words.classList.toggle("field-error", over);
    area.setCustomValidity(over ? words.textContent : "");
  };
  area.addEventListener("input", show);
  addEventListener("pageshow", show);
  show();
}

// jobs.js tells of every snapshot. A new preview is there with the first iteration and then every few.
for (const frame of document.querySelectorAll("[data-preview]")) {
  const every = Number(frame.dataset.previewEvery) || 1;
  let shown = "";
  let loading = false;

  const load = async (name) => {
    loading = true;
    const next = new Image();
    next.src = `${frame.dataset.preview}?at=${encodeURIComponent(name)}`;
    next.alt = frame.dataset.previewAlt ?? "";
    try {
      await next.decode();
      frame.replaceChildren(next);
      shown = name;
    } catch {
      // Not written yet, or the job is just over; the next snapshot tries again.
    }
    loading = false;
  };

  document.addEventListener("job:snapshot", ({ detail }) => {
    if (loading || detail.final || detail.done < 1) return;
    const name = `${detail.step}-${Math.floor(detail.done / every)}`;
    if (name !== shown) load(name);
  });
}
