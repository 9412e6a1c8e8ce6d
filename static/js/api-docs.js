// Draws the API's reference from its OpenAPI document, and mends how some of it is told to screen readers.
const place = document.getElementById("api-reference");

// The parts of Swagger UI's own layout that we want; that one brings a second <main> into the page.
function Reference({ React: { createElement } }) {
  function Layout({ getComponent, specSelectors }) {
    const parts = ["errors"];
    if (specSelectors.loadingStatus() === "success") parts.push("InfoContainer", "AuthorizeBtnContainer", "operations");
    return createElement("div", { className: "swagger-ui" },
      createElement(getComponent("SvgAssets")),
      ...parts.map((name) => createElement("div", { className: `part-${name}` }, createElement(getComponent(name, true)))));
  }
  return { components: { Layout } };
}

function mend() {
  for (const select of place.querySelectorAll("select:not([aria-label], [id])")) {
    select.setAttribute("aria-label", place.dataset.choose);
  }
  for (const code of place.querySelectorAll(".microlight:not([tabindex])")) code.tabIndex = 0;
}

let waiting = false;
new MutationObserver(() => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; mend(); });
}).observe(place, { childList: true, subtree: true });

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  plugins: [Reference],
  layout: "Layout",
  displayRequestDuration: true,
  persistAuthorization: false,
  showCommonExtensions: true,
  syntaxHighlight: false,
});
