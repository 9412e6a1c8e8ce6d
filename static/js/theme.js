// Runs before the first paint: a mark that scripts run, and the theme. A chosen theme is kept only while it differs
// from the system's, so that choosing the system's own means following it again.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function keptTheme() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

function keepTheme(theme) {
  try {
    if (theme) localStorage.setItem("theme", theme);
    else localStorage.removeItem("theme");
  } catch { /* A private window keeps nothing. */ }
}

function shownTheme() {
  return root.dataset.theme || (system.matches ? "dark" : "light");
}

function showTheme(kept) {
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  else delete root.dataset.theme;
  root.dataset.themeShown = shownTheme();
  document.querySelector("[data-theme-toggle]")?.setAttribute("aria-pressed", String(shownTheme() === "dark"));
}

root.classList.add("js");
showTheme(keptTheme());
system.addEventListener("change", () => showTheme(keptTheme()));
// Another tab chose.
addEventListener("storage", (event) => { if (event.key === "theme") showTheme(event.newValue); });
document.addEventListener("DOMContentLoaded", () => {
  showTheme(keptTheme());
  document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
    const wanted = shownTheme() === "dark" ? "light" : "dark";
    const kept = wanted === (system.matches ? "dark" : "light") ? null : wanted;
    keepTheme(kept);
    showTheme(kept);
  });
});
