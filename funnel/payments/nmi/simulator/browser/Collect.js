/* The simulator's twin of NMI's Collect.js, for the shop's page: inline variant, card fields only.
   What is typed stays in frames of the simulator's origin; this script never sees it. */
(() => {
  "use strict";

  const script = document.currentScript;
  const ORIGIN = new URL(script.src).origin;
  const KEY = script.dataset.tokenizationKey || "";
  const FIELDS = ["ccnumber", "ccexp", "cvv"];
  const TITLES = { ccnumber: "Card number", ccexp: "Expiry (MM/YY)", cvv: "CVV" };

  let options = {};
  let frames = {};
  let ready = new Set();
  let timer = null;

  const nothing = () => {};
  const call = (name, ...rest) => (options[name] || nothing)(...rest);

  const nameOf = (field) => `CollectJSInline${field}`;

  function frameFor(field, wanted) {
    const frame = document.createElement("iframe");
    const query = new URLSearchParams({
      field,
      origin: location.origin,
      title: wanted.title || TITLES[field],
      placeholder: wanted.placeholder || "",
      css: JSON.stringify(options.customCss || {}),
    });
    frame.id = frame.name = nameOf(field);
    frame.title = wanted.title || TITLES[field];
    frame.className = "CollectJSInlineIframe";
    frame.style.cssText = "border: 0; width: 100%; height: 100%; display: block";
    frame.src = `${ORIGIN}/token/field.html?${query}`;
    return frame;
  }

  function configure(given = {}) {
    Object.values(frames).forEach((frame) => frame.remove());
    clearTimeout(timer);
    [options, frames, ready] = [given, {}, new Set()];
    for (const field of FIELDS) {
      const wanted = (given.fields || {})[field] || {};
      const place = document.querySelector(wanted.selector || `#${field}`);
      if (place && wanted.display !== "hide") {
        frames[field] = frameFor(field, wanted);
        place.append(frames[field]);
      }
    }
    const button = given.paymentSelector && document.querySelector(given.paymentSelector);
    if (button) button.addEventListener("click", startPaymentRequest);
  }

  function startPaymentRequest(event) {
    if (event && event.preventDefault) event.preventDefault();
    clearTimeout(timer);
    if (options.timeoutDuration) {
      timer = setTimeout(() => call("timeoutCallback"), options.timeoutDuration);
    }
    const asked = { nmi: "tokenize", fields: Object.keys(frames), key: KEY };
    frames.ccnumber?.contentWindow.postMessage(asked, ORIGIN);
  }

  function clearInputs() {
    for (const frame of Object.values(frames)) frame.contentWindow.postMessage({ nmi: "clear" }, ORIGIN);
  }

  window.addEventListener("message", ({ origin, source, data }) => {
    const ours = Object.values(frames).some((frame) => frame.contentWindow === source);
    if (origin !== ORIGIN || !ours || !data) return;
    if (data.nmi === "ready") {
      ready.add(data.field);
      if (ready.size === Object.keys(frames).length) call("fieldsAvailableCallback");
    } else if (data.nmi === "validation") {
      if (!data.status) clearTimeout(timer);
      call("validationCallback", data.field, data.status, data.message);
    } else if (data.nmi === "token") {
      clearTimeout(timer);
      const check = { name: null, account: null, hash: null, aba: null };
      call("callback", { tokenType: "inline", token: data.token, card: data.card, check });
    }
  });

  window.CollectJS = { configure, startPaymentRequest, clearInputs };
})();
