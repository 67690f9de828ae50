/* Wires Collect.js to the forms that hold card fields ([data-card-fields], any number of them):
   Pay makes a payment token first, then sends the form with it. Collect.js has one set of fields at
   a time, so it moves to the form that is being used. Loaded twice, this does nothing the second
   time. */
(() => {
  "use strict";

  if (window.hasCardForms) return;
  window.hasCardForms = true;

  const FIELDS = { ccnumber: "Card number", ccexp: "Expiry (MM/YY)", cvv: "Security code" };
  const PLACEHOLDERS = { ccnumber: "", ccexp: "MM/YY", cvv: "" };
  const ANSWER_WITHIN_MS = 15000;
  const NOT_LOADED = "The card form could not be loaded, so nothing was charged. Reload this page.";
  const NO_ANSWER = "Our payment service did not answer, so nothing was charged. Press the button again.";
  const WRONG = "Check your card. Nothing was charged.";

  class CardForm {
    constructor(block, number) {
      this.block = block;
      this.form = block.closest("form");
      this.number = number;
      this.state = "idle";
      this.submitter = null;
      for (const field of Object.keys(FIELDS)) this.box(field).id = `card-${number}-${field}`;
      this.form.addEventListener("submit", (event) => this.onSubmit(event));
      for (const name of ["click", "focusin"]) {
        this.form.addEventListener(name, () => this.show());
      }
    }

    box(field) { return this.block.querySelector(`[data-card-field="${field}"]`); }
    input(name) { return this.block.querySelector(`input[name="${name}"]`); }

    /* Put the fields here, unless they are. */
    show() {
      if (CardForm.shown === this || CardForm.shown?.state === "asking" || !window.CollectJS) return;
      CardForm.shown = this;
      const style = getComputedStyle(this.block);
      const customCss = { color: style.color, "font-size": style.fontSize };
      const field = (name) => [name, {
        selector: `#card-${this.number}-${name}`,
        title: FIELDS[name],
        placeholder: PLACEHOLDERS[name],
      }];
      window.CollectJS.configure({
        variant: "inline",
        styleSniffer: false,
        customCss,
        fields: Object.fromEntries(Object.keys(FIELDS).map(field)),
        callback: (answer) => this.onToken(answer),
        validationCallback: (name, isGood, message) => this.onChecked(name, isGood, message),
        timeoutDuration: ANSWER_WITHIN_MS,
        timeoutCallback: () => this.fail(NO_ANSWER),
      });
    }

    onSubmit(event) {
      // A button that needs nothing filled in does not pay; a form with its token may go, and go
      // again: its idempotency key makes both one charge.
      if (event.submitter?.formNoValidate || this.state === "sending") return;
      event.preventDefault();
      if (this.state === "asking") return;
      this.say("");
      this.show();
      if (CardForm.shown !== this) {
        this.say(NOT_LOADED);
        return;
      }
      this.submitter = event.submitter;
      this.become("asking");
      window.CollectJS.startPaymentRequest();
    }

    onToken(answer) {
      if (this.state !== "asking") return;
      this.input("payment_token").value = answer.token;
      this.input("card_fingerprint").value = answer.card?.hash || "";
      this.become("sending");
      this.form.requestSubmit(this.submitter);
    }

    onChecked(name, isGood, message) {
      const wrong = this.block.querySelector(`[data-card-wrong="${name}"]`);
      if (!wrong) return;
      wrong.textContent = isGood ? "" : `${message}.`;
      wrong.hidden = isGood;
      this.box(name).classList.toggle("is-wrong", !isGood);
      if (!isGood && this.state === "asking") this.fail(WRONG);
    }

    fail(problem) {
      this.become("idle");
      this.say(problem);
    }

    say(problem) {
      this.block.querySelector("[data-card-problem]").textContent = problem;
    }

    become(state) {
      this.state = state;
      const isBusy = state !== "idle";
      this.block.querySelector("[data-card-status]").textContent = isBusy ? "Checking your card…" : "";
      for (const button of this.form.querySelectorAll("button:not([type=button])")) {
        button.toggleAttribute("disabled", state === "asking");
        button.setAttribute("aria-busy", String(isBusy));
      }
    }

    /* Back from another page: a token works once, and the fields may hold nothing. */
    again() {
      this.input("payment_token").value = this.input("card_fingerprint").value = "";
      this.become("idle");
    }
  }
  CardForm.shown = null;

  const blocks = [...document.querySelectorAll("[data-card-fields]")];
  const forms = blocks.map((block, place) => new CardForm(block, place + 1));

  function load({ collectUrl, tokenizationKey }) {
    const script = document.createElement("script");
    script.src = collectUrl;
    script.dataset.tokenizationKey = tokenizationKey;
    script.dataset.variant = "inline";
    script.addEventListener("load", () => forms[0].show());
    script.addEventListener("error", () => forms.forEach((form) => form.say(NOT_LOADED)));
    document.head.append(script);
  }
  if (blocks.length) load(blocks[0].dataset);

  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) forms.forEach((form) => form.again());
  });

  // A label beside a frame cannot point into it: a click on it goes there by hand.
  for (const block of blocks) {
    for (const label of block.querySelectorAll(".card-label")) {
      label.addEventListener("click", () => label.nextElementSibling.querySelector("iframe")?.focus());
    }
  }
})();
