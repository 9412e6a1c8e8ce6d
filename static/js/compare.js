// The compare view: renditions of one size laid over each other, with a divider, a fade, their difference, or side by
// side; enlarged where wanted. Without this script the stage shows the divider in the middle.
const WORDS = { slider: "Position of the divider", overlay: "Strength of your picture" };
const ZOOMS = [1, 2, 4];
// Enlarged, only near the divider does a drag move it; elsewhere it moves the view.
const GRIP_PX = 28;

document.querySelectorAll("[data-compare]").forEach(setUp);

function setUp(view) {
  const stage = view.querySelector(".compare-stage");
  const upper = stage.querySelector(".upper");
  const range = view.querySelector("input[type=range]");
  const rangeArea = view.querySelector("[data-compare-range]");
  const label = view.querySelector("[data-compare-label]");
  const controls = view.querySelector("[data-compare-controls]");
  const names = view.querySelector(".compare-names");
  const alt = upper.alt;
  const choices = [...view.querySelectorAll("[data-mode-choice]")];
  const frame = document.createElement("div");
  frame.className = "compare-frame";
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", "Pictures");
  stage.replaceWith(frame);
  frame.append(stage);

  const place = (percent) => {
    range.value = percent;
    stage.style.setProperty("--at", range.value / 100);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} %`);
  };

  const choose = (mode) => {
    stage.dataset.mode = mode;
    choices.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.modeChoice === mode)));
    const wanted = mode === "difference" ? upper.dataset.difference : upper.dataset.aligned;
    if (upper.getAttribute("src") !== wanted) upper.src = wanted;
    upper.alt = mode === "difference" ? upper.dataset.differenceAlt ?? alt : alt;
    names?.toggleAttribute("hidden", mode !== "slider" && mode !== "side");
    rangeArea.hidden = !(mode in WORDS);
    if (mode in WORDS) label.textContent = WORDS[mode];
  };

  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    place(Math.max(0, Math.min(100, ((event.clientX - box.left) / box.width) * 100)));
  };
  const grips = (event) => {
    if (stage.dataset.mode !== "slider") return false;
    if (!("zoomed" in frame.dataset)) return true;
    const box = stage.getBoundingClientRect();
    return Math.abs(event.clientX - box.left - (box.width * range.value) / 100) <= GRIP_PX;
  };
  let dragging = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !grips(event)) return;
    event.preventDefault();
    dragging = true;
    stage.setPointerCapture(event.pointerId);
    follow(event);
    range.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => { if (dragging) follow(event); });
  for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => { dragging = false; });

  // The range below is as wide as the picture, so that its handle stands under the divider.
  new ResizeObserver(() => {
    if (!("zoomed" in frame.dataset)) view.style.setProperty("--stage", `${stage.clientWidth}px`);
  }).observe(stage);
  range.addEventListener("input", () => place(range.value));
  choices.forEach((button) => button.addEventListener("click", () => choose(button.dataset.modeChoice)));
  controls.append(zoomControls(frame, stage));
  controls.hidden = false;
  place(range.value);
  choose(stage.dataset.mode);
}

function zoomControls(frame, stage) {
  const group = document.createElement("div");
  group.className = "modes";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Size");
  const buttons = ZOOMS.map((zoom) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = zoom === 1 ? "Fit" : `${zoom} ×`;
    button.addEventListener("click", () => enlarge(zoom));
    return button;
  });
  group.append(...buttons);

  const enlarge = (zoom) => {
    // What is in the middle of the frame stays there.
    const x = (frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth;
    const y = (frame.scrollTop + frame.clientHeight / 2) / frame.scrollHeight;
    frame.toggleAttribute("data-zoomed", zoom !== 1);
    // What scrolls must be reachable by keyboard.
    frame.tabIndex = zoom === 1 ? -1 : 0;
    stage.style.removeProperty("width");
    if (zoom !== 1) stage.style.setProperty("width", `${stage.clientWidth * zoom}px`);
    frame.scrollTo(x * frame.scrollWidth - frame.clientWidth / 2, y * frame.scrollHeight - frame.clientHeight / 2);
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(ZOOMS[index] === zoom)));
  };
  enlarge(1);
  return group;
}
