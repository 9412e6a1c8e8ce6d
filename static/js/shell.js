// The page's shell: the menu of small screens. Without scripts the menu is always open.
const button = document.querySelector("[data-menu]");
const nav = document.getElementById(button.getAttribute("aria-controls"));

function show(open) {
  nav.toggleAttribute("data-open", open);
  button.setAttribute("aria-expanded", String(open));
}

button.addEventListener("click", () => show(!nav.hasAttribute("data-open")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !nav.hasAttribute("data-open")) return;
  show(false);
  button.focus();
});
