/** Copies text. Without a secure connection, browsers have no clipboard for pages: the text is selected and copied. */

import { h } from "./dom.js";

/**
 * Copy a text.
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", "aria-hidden": "true", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/**
 * Build a button that copies a text and reports it.
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(label, text) {
  const button = h("button", { type: "button" }, label);
  const note = h("span", { class: "unseen", role: "status" });
  let timer = 0;
  button.addEventListener("click", async () => {
    const said = (await copyText(text())) ? "Copied" : "Copying is not allowed here";
    button.textContent = said;
    note.textContent = said;
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      button.textContent = label;
      note.textContent = "";
    }, 2_000);
  });
  return h("span", {}, button, note);
}
