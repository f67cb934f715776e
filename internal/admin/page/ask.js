import { $, el } from "./dom.js";
import { hasToken, Refused, setToken } from "./api.js";

// ask opens the dialog and carries out run when it is confirmed. run gets what
// was typed; what it throws is shown, and the dialog stays.
export function ask({ title, lines, yes, danger, field, run }) {
  const dialog = $("ask"), button = $("ask-yes");
  $("ask-h").textContent = title;
  $("ask-body").replaceChildren(...lines.map((l) => (Array.isArray(l) ? el("ul", {}, l.map((x) => el("li", {}, x))) : el("p", {}, l))));
  $("ask-field").hidden = !field;
  $("ask-field").firstElementChild.textContent = field ? field.label : "";
  $("ask-value").value = field ? field.value : "";
  $("ask-token").hidden = hasToken() && title !== tokenTitle;
  $("ask-secret").value = "";
  $("ask-error").textContent = "";
  button.textContent = yes;
  button.className = danger ? "danger" : "primary";
  button.disabled = false;

  button.onclick = async () => {
    if (!$("ask-token").hidden) setToken($("ask-secret").value.trim());
    button.disabled = true;
    try {
      await run($("ask-value").value);
      dialog.close();
    } catch (e) {
      if (e instanceof Refused && e.status === 401) {
        setToken("");
        $("ask-token").hidden = false;
        $("ask-secret").focus();
      }
      $("ask-error").textContent = e.message;
    }
    button.disabled = false;
  };
  $("ask-no").onclick = () => dialog.close();
  dialog.onkeydown = (e) => {
    if (e.key === "Enter" && e.target.tagName === "INPUT") button.click();
  };
  if (!dialog.open) dialog.showModal();
  (field ? $("ask-value") : $("ask-token").hidden ? $("ask-no") : $("ask-secret")).focus();
}

export const tokenTitle = "Token";
