/* One card field, in a frame of the simulator. The number's frame also makes the token: frames of
   one origin may read each other, the shop's page may read none of them. */
(() => {
  "use strict";

  const query = new URLSearchParams(location.search);
  const FIELD = query.get("field");
  const SHOP = query.get("origin");
  const AUTOCOMPLETE = { ccnumber: "cc-number", ccexp: "cc-exp", cvv: "cc-csc" };
  const RULES = {
    ccnumber: [/^[0-9]{13,19}$/, "Type the whole card number"],
    ccexp: [/^(0[1-9]|1[0-2])\/?[0-9]{2}$/, "Type month and year: MM/YY"],
    cvv: [/^[0-9]{3,4}$/, "Type the 3 or 4 digits on the card"],
  };
  const STYLES = ["color", "font-size", "font-family", "padding", "caret-color"];
  const input = document.getElementById("input");

  const tell = (message) => parent.postMessage(message, SHOP);
  const valueOf = (frame) => frame.document.getElementById("input").value.replace(/[ -]/g, "");

  function check(field, value) {
    const [shape, message] = RULES[field];
    const status = shape.test(value);
    tell({ nmi: "validation", field, status, message: status ? "Success" : message });
    return status;
  }

  async function tokenize(fields, key) {
    const typed = {};
    for (const field of fields) typed[field] = valueOf(parent.frames[`CollectJSInline${field}`]);
    const checked = fields.map((field) => check(field, typed[field]));
    if (checked.includes(false)) return;
    const answer = await fetch("/token/create", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...typed, tokenizationKey: key }),
    });
    const made = await answer.json();
    if (answer.ok) tell({ nmi: "token", token: made.token, card: made.card });
    else tell({ nmi: "validation", field: made.field, status: false, message: made.message });
  }

  function dress() {
    input.setAttribute("aria-label", query.get("title"));
    input.placeholder = query.get("placeholder");
    input.autocomplete = AUTOCOMPLETE[FIELD];
    const css = JSON.parse(query.get("css") || "{}");
    for (const name of STYLES) if (css[name]) input.style.setProperty(name, css[name]);
  }

  dress();
  input.addEventListener("change", () => check(FIELD, valueOf(window)));
  window.addEventListener("focus", () => input.focus());
  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== parent || origin !== SHOP || !data) return;
    if (data.nmi === "clear") input.value = "";
    if (data.nmi === "tokenize") tokenize(data.fields, data.key);
  });
  tell({ nmi: "ready", field: FIELD });
})();
