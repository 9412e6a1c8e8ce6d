// A page with several checks: jobs.js watches each, and whichever is over is drawn anew as the server shows it.
import "./jobs.js";

document.addEventListener("job:final", async (event) => {
  const item = event.target.closest("[data-check]");
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    item.replaceWith(document.adoptNode(page.getElementById(item.id)));
  } catch {
    location.reload();
  }
});
