/** The user in the header, with a button to sign out. */

import { request, session } from "../api/service.js";
import { h } from "../ui/dom.js";

/**
 * Show the user, once the service has named it.
 * @param {HTMLElement} top
 */
export async function showAccount(top) {
  const { name } = await request("/whoami");
  const signOut = h("button", { type: "button", class: "top-link", title: `Signed in as ${name}` }, "Sign out");
  signOut.addEventListener("click", () => void leave());
  top.append(h("span", { class: "account", title: name }, name), signOut);
}

/** End the session, and show the page to sign in again, or that of the identity provider to sign out there. */
async function leave() {
  session.left = true;
  // The service answers with a page, also if the session has ended before.
  const response = await fetch("/signout", { method: "POST", headers: { accept: "application/json" } });
  location.assign((await response.json()).location);
}
