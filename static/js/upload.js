// Turns a plain file field into a place to drop, paste and choose files, with previews. Without this script the field
// still works: what is chosen here is written back into it, so that the form is sent as any other.
const PREVIEWS = 60;

const zones = [...document.querySelectorAll("[data-drop]")].map(setUp);
// On a page with one place for files the whole window takes what is dropped; a near miss must not leave the page.
const only = zones.length === 1 ? zones[0] : null;
let inside = 0;

function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  inside += 1;
  only?.mark(true);
});
addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  inside = Math.max(0, inside - 1);
  if (!inside) only?.mark(false);
});
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  inside = 0;
  zones.forEach((zone) => zone.mark(false));
  (zones.find((zone) => zone.element.contains(event.target)) ?? only)?.take(filesOf(event.dataTransfer));
});
document.addEventListener("paste", (event) => {
  if (!only || !event.clipboardData?.files.length) return;
  event.preventDefault();
  only.take([...event.clipboardData.files].map(named));
});

// A dropped folder comes as a file that cannot be read; it is left out.
function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile()).filter(Boolean);
}

// Pasted pictures are all called image.png; their time tells them apart.
let pasted = 0;
function named(file) {
  pasted += 1;
  const ending = file.name.includes(".") ? file.name.slice(file.name.lastIndexOf(".")) : "";
  return new File([file], `pasted-${pasted}${ending}`, { type: file.type, lastModified: file.lastModified });
}

function setUp(element) {
  const field = element.querySelector("input[type=file]");
  const form = field.form;
  const list = document.createElement("ul");
  list.className = "drop-list";
  const words = document.createElement("p");
  words.setAttribute("role", "status");
  words.className = "help";
  element.append(words, list);
  const most = Number(element.dataset.maxFiles) || Infinity;
  const largest = Number(element.dataset.maxBytes) || Infinity;
  const buttons = [...form.querySelectorAll("[data-needs-files]")];
  const busy = new Map([...form.querySelectorAll("[data-needs-files], [data-busy]")].map((one) => [one, one.textContent]));
  let files = [];

  const take = (more) => {
    const refused = [];
    for (const file of more) {
      if (file.size > largest) refused.push(`${file.name} has ${inBytes(file.size)}; at most ${inBytes(largest)} can be sent.`);
      else if (file.size === 0) refused.push(`${file.name} is empty.`);
      else if (!fits(file, field.accept)) refused.push(`${file.name} is not of a kind that can be sent here.`);
      else if (!files.some((one) => sameFile(one, file))) files.push(file);
    }
    if (most === 1) files = files.slice(-1);
    if (files.length > most) {
      refused.push(`At most ${most} files can be sent at once: the first ${most} were kept.`);
      files = files.slice(0, most);
    }
    show(refused);
  };

  const show = (refused = []) => {
    const transfer = new DataTransfer();
    files.forEach((file) => transfer.items.add(file));
    field.files = transfer.files;
    list.querySelectorAll("img").forEach((img) => URL.revokeObjectURL(img.src));
    list.replaceChildren(...files.slice(0, PREVIEWS).map(preview));
    if (files.length > PREVIEWS) list.append(rest(files.length - PREVIEWS));
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const chosen = files.length ? `${files.length} ${files.length === 1 ? "file" : "files"} chosen, ${inBytes(total)}.` : "";
    words.textContent = [...refused, chosen].join(" ").trim();
    words.classList.toggle("field-error", refused.length > 0);
    buttons.forEach((button) => { button.disabled = files.length === 0; });
  };

  const preview = (file, index) => {
    const item = document.createElement("li");
    item.append(file.type.startsWith("image/") ? picture(file) : noPicture(file));
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = file.name;
    name.title = file.name;
    const size = document.createElement("span");
    size.className = "size";
    size.textContent = inBytes(file.size);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "button quiet small";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      files.splice(index, 1);
      show();
      (list.querySelectorAll("button")[Math.min(index, files.length - 1)] ?? field).focus();
    });
    item.append(name, size, remove);
    return item;
  };

  const mark = (over) => element.classList.toggle("over", over);
  element.addEventListener("dragenter", () => mark(true));
  field.addEventListener("change", () => take([...field.files]));
  form.addEventListener("submit", () => {
    busy.forEach((_label, button) => {
      button.disabled = true;
      button.textContent = button.dataset.busy || "Uploading…";
    });
  });
  // A page restored by the back button gets its button back, and shows what the browser kept in the field.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    busy.forEach((label, button) => {
      button.textContent = label;
      button.disabled = false;
    });
    show();
  });
  take([...field.files]);
  return { element, take, mark };
}

function picture(file) {
  const img = document.createElement("img");
  img.alt = "";
  img.decoding = "async";
  img.src = URL.createObjectURL(file);
  // Not every browser draws every format that we read.
  img.addEventListener("error", () => img.replaceWith(noPicture(file)));
  return img;
}

function noPicture(file) {
  const place = document.createElement("span");
  place.className = "no-preview";
  place.textContent = file.name.includes(".") ? file.name.slice(file.name.lastIndexOf(".") + 1) : "file";
  return place;
}

function rest(count) {
  const item = document.createElement("li");
  item.className = "more";
  item.textContent = `and ${count} more`;
  return item;
}

function sameFile(one, other) {
  return one.name === other.name && one.size === other.size && one.lastModified === other.lastModified;
}

// As the field's accept says. A file of unknown type may be a picture all the same: the server looks inside.
function fits(file, accept) {
  if (!accept || !file.type) return true;
  const name = file.name.toLowerCase();
  return accept.toLowerCase().split(",").map((one) => one.trim()).some((one) => {
    if (one.startsWith(".")) return name.endsWith(one);
    return one.endsWith("/*") ? file.type.startsWith(one.slice(0, -1)) : file.type === one;
  });
}

function inBytes(bytes) {
  if (bytes < 1024) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1024; unit += 1; }
  const text = value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(0);
  return `${text} ${units[unit]}`;
}
