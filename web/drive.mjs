// Drops a photo on the page in headless Chromium: node drive.mjs CHROMIUM ADDRESS PHOTO [SCREENSHOT]
// Prints, as JSON, what the page said, what it fetched, and the matte and the cut-out as PNG in base64.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [chromium, address, photo, screenshot] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage();
  const requests = [], errors = [];
  page.on("request", (request) => requests.push([request.method(), request.url()]));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.setDefaultTimeout(240_000);
  await page.setViewport({ width: 1200, height: 900 });
  await page.goto(address, { waitUntil: "load" });
  await page.waitForFunction(() => document.getElementById("status").textContent === "Ready.");
  if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.\w+)$/, "-empty$1") });

  const dropped = (name, type, base64) =>
    page.evaluate(
      (name, type, base64) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], name, { type }));
        const target = document.getElementById("drop");
        target.dispatchEvent(new DragEvent("dragenter", { dataTransfer, bubbles: true, cancelable: true }));
        target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
      },
      name, type, base64,
    );
  await dropped("notes.txt", "text/plain", btoa("no image"));
  const refused = await page.$eval("#status", (status) => status.textContent);
  await dropped("a photo.png", "image/png", readFileSync(photo).toString("base64"));
  await page.waitForFunction(() => document.body.dataset.done || document.getElementById("status").dataset.kind === "error");
  if (screenshot) await page.screenshot({ path: screenshot });

  const saved = (id) =>
    page.evaluate(async (id) => {
      const link = document.getElementById(id);
      if (!link.href) return null;
      const bytes = new Uint8Array(await (await fetch(link.href)).arrayBuffer());
      return [link.download, btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""))];
    }, id);
  const said = await page.$eval("#status", (status) => status.textContent);
  const result = { refused, said, matte: await saved("save-matte"), cutout: await saved("save"), errors, requests };
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
