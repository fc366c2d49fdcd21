// Shows the OpenAPI description of this server.

const made = (tag, text, children = []) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

function values({ type, items, enum: names, minimum, exclusiveMinimum, maximum, default: preset }) {
  if (items) return `${values(items)}, several`;
  const range = maximum < 4294967295 ? `, ${minimum} to ${maximum}` : exclusiveMinimum === 0 ? ", above 0" : "";
  const text = names ? names.join(", ") : type + range;
  return preset ? `${text} (default: ${preset})` : text;
}

function table(label, heads, rows) {
  const scroll = made("div", "", [
    made("table", "", [
      made("thead", "", [made("tr", "", heads.map((head) => Object.assign(made("th", head), { scope: "col" })))]),
      made("tbody", "", rows.map(([first, ...rest]) => made("tr", "", [
        Object.assign(made("th", "", [made("code", first)]), { scope: "row" }),
        ...rest.map((text) => made("td", text)),
      ]))),
    ]),
  ]);
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.role = "region";
  scroll.ariaLabel = label;
  return scroll;
}

function operation(path, method, { summary, parameters = [], requestBody, responses }) {
  const section = made("section", "", [
    made("h2", "", [made("code", `${method.toUpperCase()} ${path}`)]),
    made("p", summary),
  ]);
  section.className = "card";
  if (requestBody) section.append(made("p", requestBody.description));
  if (parameters.length) {
    const rows = parameters.map(({ name, schema, description }) => [name, values(schema), description]);
    section.append(table("Options", ["Option", "Values", "Meaning"], rows));
  }
  const types = Object.keys(responses[200].content);
  section.append(made("p", responses[200].description));
  if (types.length > 1) section.append(made("p", `Media types for Accept: ${types.join(", ")}.`));
  return section;
}

const api = await (await fetch("../openapi.json")).json();
for (const host of document.querySelectorAll("pre b")) host.textContent = location.origin;
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, description] of Object.entries(methods)) {
    document.getElementById("operations").append(operation(path, method, description));
  }
}
const errors = api["x-errors"].map(({ reason, status, meaning }) => {
  const row = made("tr", "", [
    Object.assign(made("th", "", [made("code", reason)]), { scope: "row" }),
    made("td", String(status)),
    made("td", meaning),
  ]);
  row.id = reason;
  return row;
});
document.querySelector("#errors tbody").append(...errors);
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
