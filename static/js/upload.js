// Turns a plain file field into a place to drop, paste and choose pictures, with previews. Without this script the
// field still works.
for (const zone of document.querySelectorAll("[data-drop]")) setUp(zone);

function setUp(zone) {
  const field = zone.querySelector("input[type=file]");
  const form = field.form;
  const list = document.createElement("ul");
  list.className = "drop-list";
  const words = document.createElement("p");
  words.setAttribute("role", "status");
  words.className = "help";
  zone.append(list, words);
  const most = Number(zone.dataset.maxFiles || 1);
  const largest = Number(zone.dataset.maxBytes || Infinity);
  let files = [];

  const take = (more) => {
    const refused = [];
    for (const file of more) {
      if (file.size > largest) refused.push(`${file.name} is larger than ${inBytes(largest)}.`);
      else if (file.size === 0) refused.push(`${file.name} is empty.`);
      else if (!files.some((one) => one.name === file.name && one.size === file.size && one.lastModified === file.lastModified)) files.push(file);
    }
    if (most === 1) files = files.slice(-1);
    if (files.length > most) {
      refused.push(`At most ${most} files at once: the first ${most} were kept.`);
      files = files.slice(0, most);
    }
    show(refused);
  };

  const show = (refused = []) => {
    const transfer = new DataTransfer();
    files.forEach((file) => transfer.items.add(file));
    field.files = transfer.files;
    list.querySelectorAll("img").forEach((img) => URL.revokeObjectURL(img.src));
    list.replaceChildren(...files.map((file, index) => preview(file, index)));
    words.textContent = [...refused, files.length ? `${files.length} ${files.length === 1 ? "file" : "files"} chosen.` : ""].join(" ").trim();
    words.classList.toggle("field-error", refused.length > 0);
    form.querySelectorAll("[data-needs-files]").forEach((button) => { button.disabled = files.length === 0; });
  };

  const preview = (file, index) => {
    const item = document.createElement("li");
    if (file.type.startsWith("image/")) {
      const img = document.createElement("img");
      img.src = URL.createObjectURL(file);
      img.alt = "";
      item.append(img);
    }
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = `${file.name} (${inBytes(file.size)})`;
    name.title = file.name;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "button quiet";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      files.splice(index, 1);
      show();
      field.focus();
    });
    item.append(name, remove);
    return item;
  };

  field.addEventListener("change", () => take([...field.files]));
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
  });
  form.addEventListener("submit", () => {
    form.querySelectorAll("[data-needs-files]").forEach((button) => {
      button.disabled = true;
      button.textContent = button.dataset.busy || "Uploading…";
    });
  });
  // A page restored by the back button must not keep its button disabled.
  addEventListener("pageshow", () => show());
  show();
}

function inBytes(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KB", "MB", "GB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
