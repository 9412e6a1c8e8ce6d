// The compare view: a slider, a fade and a difference over two renditions of one size.
for (const view of document.querySelectorAll("[data-compare]")) {
  const stage = view.querySelector(".compare-stage");
  const upper = stage.querySelector(".upper");
  const range = view.querySelector("input[type=range]");
  const label = view.querySelector("[data-compare-label]");
  const words = { slider: "Position of the divider", overlay: "Strength of the overlay" };

  const set = () => stage.style.setProperty("--at", range.value / 100);
  const choose = (mode) => {
    stage.dataset.mode = mode;
    view.querySelectorAll("[data-mode-choice]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.modeChoice === mode));
    });
    upper.src = mode === "difference" ? upper.dataset.difference : upper.dataset.aligned;
    view.querySelector("[data-compare-range]").hidden = !(mode in words);
    if (words[mode]) label.textContent = words[mode];
  };

  range.addEventListener("input", set);
  view.querySelectorAll("[data-mode-choice]").forEach((button) => {
    button.addEventListener("click", () => choose(button.dataset.modeChoice));
  });
  let dragging = false;
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.max(0, Math.min(100, ((event.clientX - box.left) / box.width) * 100));
    set();
  };
  stage.addEventListener("pointerdown", (event) => { dragging = true; stage.setPointerCapture(event.pointerId); follow(event); });
  stage.addEventListener("pointermove", (event) => { if (dragging) follow(event); });
  for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => { dragging = false; });
  view.querySelector("[data-compare-controls]").hidden = false;
  set();
  choose(stage.dataset.mode);
}
