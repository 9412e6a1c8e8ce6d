// Draws the API's reference from its OpenAPI document, in the theme of the page.
const place = document.getElementById("api-reference");
const root = document.documentElement;

function followTheme() {
  root.classList.toggle("dark-mode", root.dataset.themeShown === "dark");
}

followTheme();
new MutationObserver(followTheme).observe(root, { attributes: true, attributeFilter: ["data-theme-shown"] });

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  showCommonExtensions: true,
});
