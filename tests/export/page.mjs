// The page's own script with as little of a browser around it as it needs: node page.mjs FOLDER, which holds it.
// Prints, as JSON, the sizes that the network would see, and what became of a photo while something else was dropped.
import { pathToFileURL } from "node:url";

const made = () => ({
  dataset: {},
  style: { setProperty() {} },
  addEventListener() {},
  toBlob: (take) => take({}),
  getContext: () => ({
    drawImage() {}, fillRect() {}, putImageData() {},
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    getImageData: (x, y, width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
  }),
});
const elements = {}, listeners = {};
globalThis.crossOriginIsolated = false;
globalThis.document = {
  body: made(),
  createElement: made,
  getElementById: (id) => (elements[id] ??= made()),
  querySelectorAll: () => [],
  addEventListener: (kind, listener) => (listeners[kind] = listener),
};
globalThis.createImageBitmap = async () => ({ width: 64, height: 32 });
URL.createObjectURL = () => "blob:";
globalThis.computed = new Promise((resolve) => (globalThis.compute = resolve));

const { networkSize } = await import(pathToFileURL(`${process.argv[2]}/matte.js`));
const sizes = [];
for (let width = 1; width < 2000; width++) sizes.push([1000, width, ...networkSize(1000, width)]);

const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
const drop = (type) => listeners.drop({ preventDefault() {}, dataTransfer: { files: [{ type, name: "a.png" }] } });
drop("image/png");
await settled();
drop("text/plain");
const refused = elements.status.textContent;
compute();
await settled();
const { busy, done } = document.body.dataset;
console.log(JSON.stringify({ sizes, refused, busy: busy ?? null, done: done ?? null, said: elements.status.textContent }));
