// Reads messages with JSON.parse and says of each whether it is what mcpool sees in it.
//
// The argument is a JSON file: a list of [line, id, method, name], all but the line as JSON text or null.
// Written is a line for each: "same", or what differs.

import { readFileSync } from "node:fs";

// Numbers are compared by their text: the parser rounds what does not fit into a double.
class Digits {
  constructor(text) {
    this.text = text;
  }
}

function read(text) {
  return JSON.parse(text, (_name, value, { source }) =>
    typeof value === "number" ? new Digits(source) : value,
  );
}

function member(object, name) {
  const isObject = typeof object === "object" && object !== null && !Array.isArray(object);
  return isObject && Object.hasOwn(object, name) ? object[name] : undefined;
}

function isSame(found, expected) {
  if (expected === null) return found === undefined;
  const wanted = read(expected);
  if (wanted instanceof Digits) return found instanceof Digits && found.text === wanted.text;
  return found === wanted;
}

function judge([line, id, method, name]) {
  let message;
  try {
    message = read(line);
  } catch (error) {
    return `refused: ${error.message}`;
  }
  const seen = { id, method, name };
  const found = {
    id: member(message, "id"),
    method: member(message, "method"),
    name: member(member(message, "params"), "name"),
  };
  const differing = Object.keys(seen).filter((what) => !isSame(found[what], seen[what]));
  return differing.length === 0 ? "same" : `differs in ${differing.join(", ")}`;
}

for (const message of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  console.log(judge(message).replaceAll("\n", " "));
}
