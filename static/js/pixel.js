// Chooses a pixel of a picture by a click. The fields beside it say the same and are enough by themselves.
const CANVAS_SIDE = 320;

document.querySelectorAll("[data-pixel]").forEach(setUp);

function setUp(section) {
  const image = section.querySelector("[data-pixel-image]");
  const canvas = section.querySelector("[data-pixel-canvas]");
  const words = section.querySelector("[data-pixel-words]");
  const own = section.querySelector("input[type=file]");
  const sources = [...section.querySelectorAll("input[name=source]")];
  const column = section.querySelector("input[name=x]");
  const row = section.querySelector("input[name=y]");
  const colour = section.querySelector("input[name=colour]");
  const ownRow = section.querySelector("[data-pixel-own]");
  let picture = null;

  const draw = () => {
    if (!picture) return;
    const { width, height } = picture;
    const scale = CANVAS_SIDE / Math.max(width, height);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = scale < 1;
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const x = Number(column.value);
    const y = Number(row.value);
    const inside = Number.isInteger(x) && Number.isInteger(y) && x >= 0 && y >= 0 && x < width && y < height;
    words.textContent = inside
      ? `Column ${x}, row ${y} is ${colourOf(picture, x, y)} now.`
      : `The picture has ${width} × ${height} pixels: columns 0 to ${width - 1}, rows 0 to ${height - 1}.`;
    words.classList.toggle("field-error", !inside);
    if (!inside) return;
    const side = Math.max(scale, 5);
    const left = (x + 0.5) * scale - side / 2;
    const top = (y + 0.5) * scale - side / 2;
    pen.fillStyle = colour.value;
    pen.fillRect(left, top, side, side);
    for (const [grow, line] of [[1.5, "#000"], [3.5, "#fff"]]) {
      pen.strokeStyle = line;
      pen.lineWidth = 2;
      pen.strokeRect(left - grow, top - grow, side + 2 * grow, side + 2 * grow);
    }
  };

  const show = async () => {
    const wantsOwn = sources.find((one) => one.checked)?.value === "own";
    ownRow.hidden = !wantsOwn;
    const file = wantsOwn ? own.files[0] : null;
    picture = null;
    words.textContent = "";
    if (wantsOwn && !file) {
      canvas.hidden = image.hidden = true;
      words.textContent = "Choose your picture first.";
      return;
    }
    try {
      const source = file ?? (await (await fetch(section.dataset.pixelExample)).blob());
      picture = await createImageBitmap(source);
      canvas.hidden = false;
      image.hidden = true;
      for (const [field, most] of [[column, picture.width], [row, picture.height]]) {
        field.max = most - 1;
        if (Number(field.value) > most - 1) field.value = most - 1;
      }
      draw();
    } catch {
      canvas.hidden = image.hidden = true;
      words.textContent = "This browser cannot show the picture. Name the pixel by column and row.";
    }
  };

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    column.value = Math.min(picture.width - 1, Math.floor(((event.clientX - box.left) / box.width) * picture.width));
    row.value = Math.min(picture.height - 1, Math.floor(((event.clientY - box.top) / box.height) * picture.height));
    draw();
  });
  for (const field of [column, row, colour]) field.addEventListener("input", draw);
  for (const source of sources) source.addEventListener("change", show);
  own.addEventListener("change", show);
  show();
}

function colourOf(picture, x, y) {
  const one = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  one.drawImage(picture, x, y, 1, 1, 0, 0, 1, 1);
  const [red, green, blue] = one.getImageData(0, 0, 1, 1).data;
  return `#${[red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
