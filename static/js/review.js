// Keys of the review queue: what carries data-key is pressed by that key, except while somebody writes.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const chosen = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]:not([disabled])`);
  if (chosen) {
    event.preventDefault();
    chosen.click();
  }
});
