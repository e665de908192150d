// From a dropped photo to its matte, in the browser. The photo is never sent anywhere.
import * as ort from "./ort/ort.wasm.min.mjs";

const MODEL = "matte.onnx"; // written by: mattekit export small web/matte.onnx --half
const SHORT_SIDE = 384; // what small was trained for; the runtime does not tell what the file says of it
const MULTIPLE = 32; // mattekit.inference.predict brings both sides down to this
const LONGEST = 4096; // pixels a side of what is shown and saved

const element = (id) => document.getElementById(id);
const drop = element("drop"), stage = element("stage"), split = element("split"), status = element("status");
const after = element("after"), before = element("before");
const state = { photo: null, alpha: null, behind: "checkerboard" }; // photo: canvas; alpha: canvas, matte in its alpha

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
ort.env.wasm.proxy = true; // in a worker, so that the page stays alive

const loading = ort.InferenceSession.create(new URL(MODEL, import.meta.url).href, { executionProviders: ["wasm"] });
loading.then(
  () => state.photo || say("Ready."),
  (error) => say(`The network could not be loaded: ${error.message}`, "error"),
);

function say(text, kind = "note") {
  status.textContent = text;
  status.dataset.kind = kind;
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}

/** The size that the network sees: the short side at most SHORT_SIDE, then each side brought down to a multiple of 32. */
export function networkSize(width, height) {
  const scale = Math.min(1, SHORT_SIDE / Math.min(width, height));
  return [width, height].map((side) => Math.max(MULTIPLE, Math.floor(Math.round(side * scale) / MULTIPLE) * MULTIPLE));
}

/** A canvas as the network takes it: RGB in [0, 1], (1, 3, H, W). */
function tensorOf(canvas, width, height) {
  const small = canvasOf(width, height);
  const context = small.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = width * height, values = new Float32Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) values[c * pixels + i] = data[4 * i + c] / 255;
  }
  return new ort.Tensor("float32", values, [1, 3, height, width]);
}

/** A matte as the alpha channel of a canvas of the photo's size. */
function alphaOf(values, width, height, photo) {
  const small = canvasOf(width, height), context = small.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < values.length; i++) image.data[4 * i + 3] = Math.round(255 * values[i]);
  context.putImageData(image, 0, 0);
  const whole = canvasOf(photo.width, photo.height), large = whole.getContext("2d");
  large.imageSmoothingQuality = "high";
  large.drawImage(small, 0, 0, photo.width, photo.height);
  return whole;
}

function cutout() {
  const canvas = canvasOf(state.photo.width, state.photo.height), context = canvas.getContext("2d");
  context.drawImage(state.alpha, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.drawImage(state.photo, 0, 0);
  return canvas;
}

function matte() {
  const canvas = canvasOf(state.photo.width, state.photo.height), context = canvas.getContext("2d");
  context.drawImage(state.alpha, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "black";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

function show() {
  [after.width, after.height] = [state.photo.width, state.photo.height];
  const context = after.getContext("2d");
  if (state.behind === "matte") {
    context.drawImage(matte(), 0, 0);
    return;
  }
  if (state.behind !== "checkerboard") {
    context.fillStyle = state.behind;
    context.fillRect(0, 0, after.width, after.height);
  }
  context.drawImage(cutout(), 0, 0);
}

const urls = {};
async function offer(id, canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (urls[id]) URL.revokeObjectURL(urls[id]);
  urls[id] = URL.createObjectURL(blob);
  Object.assign(element(id), { href: urls[id], download: name });
}

/** The photo upright, as its metadata say, and no larger than canvases go. */
async function read(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = canvasOf(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

let turn = 0;
async function take(file) {
  if (!file?.type.startsWith("image/")) return say("That is no image.", "error");
  const mine = ++turn;
  const late = () => mine !== turn; // another photo came meanwhile
  document.body.dataset.busy = "";
  try {
    say("Reading the photo …");
    const photo = await read(file);
    say("Loading the network …");
    const session = await loading;
    if (late()) return;
    say("Looking for the subject …");
    const [width, height] = networkSize(photo.width, photo.height), start = performance.now();
    const { alpha } = await session.run({ image: tensorOf(photo, width, height) });
    if (late()) return;
    const seconds = (performance.now() - start) / 1000;
    state.photo = photo;
    state.alpha = alphaOf(alpha.data, width, height, photo);
    [before.width, before.height] = [photo.width, photo.height];
    before.getContext("2d").drawImage(photo, 0, 0);
    show();
    const name = file.name?.replace(/\.[^.]*$/, "") || "photo";
    await Promise.all([offer("save", cutout(), `${name}_cutout.png`), offer("save-matte", matte(), `${name}_alpha.png`)]);
    drop.hidden = true;
    element("result").hidden = false;
    slide(50);
    say(`${photo.width} × ${photo.height} pixels, seen at ${width} × ${height}, in ${seconds.toFixed(1)} s, here.`);
    document.body.dataset.done = mine;
  } catch (error) {
    if (!late()) say(`This did not work: ${error.message}`, "error");
  } finally {
    if (!late()) delete document.body.dataset.busy;
  }
}

function slide(percent) {
  split.value = percent;
  stage.style.setProperty("--split", `${percent}%`);
}

split.addEventListener("input", () => slide(split.value));
element("file").addEventListener("change", (event) => {
  if (event.target.files[0]) take(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.dataset.state = "over";
  });
}
document.addEventListener("dragleave", () => (drop.dataset.state = "empty"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.dataset.state = "empty";
  take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  if (file) take(file);
});

function behind(value) {
  state.behind = value;
  for (const button of document.querySelectorAll(".behind")) {
    button.setAttribute("aria-pressed", button.dataset.behind === value);
  }
  if (state.photo) show();
}
for (const button of document.querySelectorAll(".behind")) {
  button.addEventListener("click", () => behind(button.dataset.behind));
}
element("colour").addEventListener("input", (event) => behind(event.target.value));
element("another").addEventListener("click", () => {
  element("result").hidden = true;
  drop.hidden = false;
  say("Ready.");
  element("file").focus();
});
