// Puts the page together: the key, what the edge offers, and the cards.

import { $, note, state } from "./dom";
import { Phone } from "./phone";
import { Sessions } from "./sessions";
import { Talk } from "./talk";
import { Timeline } from "./timeline";

const base = new URL(".", import.meta.url).pathname.replace(/\/$/, "");

/** What somebody typed. It is here and nowhere else, and goes when the page does. */
class Credential {
  #key = "";
  #told = [];

  get key() {
    return this.#key;
  }

  set key(key) {
    this.#key = key;
    for (const tell of this.#told) tell();
  }

  onChange(tell) {
    this.#told.push(tell);
  }

  /** The edge does not take it. */
  refused() {
    state("key", "This key was refused", "bad");
  }
}

/** A demo on this machine hands its key over behind the `#` of the address, which goes to no server. */
function handedOver() {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (location.hash.includes("key=")) history.replaceState(null, "", location.pathname);
  return local && key ? key : "";
}

function keyForm(credential, edge) {
  const wanted = [...edge.routes.map(({ key }) => key.length > 0), edge.sessions?.key].some(Boolean);
  const show = () => {
    const held = credential.key !== "";
    $("key-form").hidden = held || !wanted;
    $("key-held").hidden = !held;
    state("key", "A key is in use", "good");
  };
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = $("key").value.trim();
    if (!key) {
      $("key").focus();
      return;
    }
    $("key").value = "";
    credential.key = key;
    $("announcer").textContent = "The key is in use.";
    $("main").focus();
  });
  $("key-forget").addEventListener("click", () => {
    credential.key = "";
    $("announcer").textContent = "The key is forgotten.";
    $("key").focus();
  });
  credential.onChange(show);
  show();
}

async function begin() {
  const credential = new Credential();
  credential.key = handedOver();
  const answer = await fetch(`${base}/edge`);
  if (!answer.ok) throw new Error(`The edge answered ${answer.status}.`);
  const edge = await answer.json();
  $("version").textContent = edge.version;
  keyForm(credential, edge);
  const timeline = new Timeline();
  const sessions = new Sessions({ edge, credential });
  const onChange = (...told) => sessions.follow(...told);
  const parts = { edge, base, credential, timeline, onChange };
  new Talk(parts);
  new Phone(parts);
}

begin().catch((error) => {
  note("broken", `The page cannot be set up: ${error.message} Load it again; if that does not help, the edge is not there.`);
});
