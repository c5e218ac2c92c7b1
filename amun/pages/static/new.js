// The editor of a specification: fields and the document say the same, whichever is changed; a dry run first.

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("editor");
  const text = document.getElementById("document");
  const said = document.getElementById("said");
  const submit = document.getElementById("submit");
  const others = document.getElementById("others");
  const fields = [...form.querySelectorAll(".field")].filter((field) => field.dataset.kind !== "document");
  const input = (field) => field.querySelector("input, textarea");
  let checked = null; // the text that a dry run has found good, and the key to submit it by

  const parsed = () => {
    const found = JSON.parse(text.value);
    if (found === null || typeof found !== "object" || Array.isArray(found)) throw new Error("It must be one JSON object.");
    return found;
  };

  const get = (where, path) => path.split(".").reduce((at, key) => (at && typeof at === "object" ? at[key] : undefined), where);

  // Puts a value where the path says; an empty one takes the field away, and what is empty above it.
  const set = (where, path, value) => {
    const [key, ...rest] = path.split(".");
    if (!rest.length) { if (value === undefined) delete where[key]; else where[key] = value; return; }
    if (!where[key] || typeof where[key] !== "object") { if (value === undefined) return; where[key] = {}; }
    set(where[key], rest.join("."), value);
    if (!Object.keys(where[key]).length) delete where[key];
  };

  const read = (field) => {
    const value = input(field).value;
    switch (field.dataset.kind) {
      case "lines": { const list = value.split("\n").map((line) => line.trim()).filter(Boolean); return list.length ? list : undefined; }
      case "number": return value.trim() === "" ? undefined : /^\d+$/.test(value.trim()) ? Number(value) : value;
      case "script": return value === "" ? undefined : value;
      default: return value.trim() === "" ? undefined : value.trim();
    }
  };

  const write = (field, value) => {
    const shown = value === undefined || value === null ? "" : Array.isArray(value) ? value.join("\n") : String(value);
    if (input(field).value !== shown) input(field).value = shown;
  };

  const unsure = () => { checked = null; submit.disabled = true; said.textContent = ""; };

  const complain = (field, message) => {
    const error = field.querySelector(".error");
    const target = input(field);
    error.textContent = error.textContent && message ? `${error.textContent} ${message}` : message;
    error.hidden = !message;
    if (message) target.setAttribute("aria-invalid", "true"); else target.removeAttribute("aria-invalid");
  };

  const clear = () => {
    [...fields, text.closest(".field")].forEach((field) => complain(field, ""));
    others.replaceChildren();
    others.hidden = true;
  };

  const fromDocument = () => {
    unsure();
    clear();
    try {
      const found = parsed();
      fields.forEach((field) => write(field, get(found, field.dataset.path)));
    } catch (error) {
      complain(text.closest(".field"), "This is no JSON: " + error.message);
    }
  };

  const fromField = (field) => {
    unsure();
    complain(field, "");
    let found;
    try { found = parsed(); } catch { return; } // which the document says beside itself
    set(found, field.dataset.path, read(field));
    text.value = JSON.stringify(found, null, 2);
  };

  // Every problem beside the field that it is of; those of no field, below the document.
  const show = (answer) => {
    clear();
    const details = answer.details || [];
    for (const { path, message } of details) {
      const owner = fields.find((field) => path === field.dataset.path || path.startsWith(field.dataset.path + ".") || path.startsWith(field.dataset.path + "["));
      if (owner) complain(owner, path === owner.dataset.path ? message : `${path}: ${message}`);
      else others.append(Object.assign(document.createElement("li"), { textContent: `${path}: ${message}` }));
    }
    others.hidden = !others.childElementCount;
    if (others.childElementCount) text.setAttribute("aria-invalid", "true");
    said.textContent = answer.error || "It was refused.";
    (form.querySelector("[aria-invalid=true]") || text).focus();
  };

  const post = (query, headers = {}) => Amun.ask("/inspect" + query, { method: "POST", body: text.value, headers: { "Content-Type": "application/json", ...headers } });

  const check = async () => {
    unsure();
    clear();
    try { parsed(); } catch (error) { complain(text.closest(".field"), "This is no JSON: " + error.message); return text.focus(); }
    const sent = text.value;
    said.textContent = "Checking …";
    const response = await post("?dry_run=true");
    const answer = await response.json();
    if (!response.ok) return show(answer);
    if (!answer.feasible) { said.textContent = answer.message || "No hardware here can serve it."; return undefined; }
    if (sent !== text.value) return undefined;
    const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    checked = { text: sent, key };
    submit.disabled = false;
    said.textContent = answer.cached ? "It is good. The environment is there already: nothing is built." : "It is good. The environment will be built.";
    return submit.focus();
  };

  const send = async () => {
    if (!checked || checked.text !== text.value) return;
    submit.disabled = true;
    said.textContent = "Submitting …";
    const response = await post("", { "Idempotency-Key": checked.key });
    const answer = await response.json();
    if (response.ok) location.assign("/inspections/" + answer.inspection_id);
    else show(answer);
  };

  const failing = (error) => { said.textContent = error.message; };
  form.addEventListener("submit", (event) => { event.preventDefault(); check().catch(failing); });
  submit.addEventListener("click", () => send().catch(failing));
  text.addEventListener("input", fromDocument);
  fields.forEach((field) => input(field).addEventListener("input", () => fromField(field)));
  fromDocument();
});
