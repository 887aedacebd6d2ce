import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyState } from "../../../query/stepwell_query/web/js/pages/empty_texts.js";

const place = { entity: "me", project: "p" };

test("what does not exist differs from what has logged nothing, and only what can be logged to says how", () => {
  const states = [
    { entity: "me" },
    { ...place },
    { ...place, run: "r" },
    { ...place, exists: true },
    { ...place, exists: true, states: ["running"] },
    { ...place, run: "r", exists: true, states: ["running"] },
    { ...place, run: "r", exists: true, states: ["crashed"] },
    { ...place, exists: true, states: ["running", "failed"] },
  ].map(emptyState);
  assert.deepEqual(states.map(({ title }) => title), ["Entity not found", "Project not found", "Run not found", "No runs yet", "Nothing logged yet", "Nothing logged yet", "Nothing logged", "Nothing logged yet"]);
  assert.deepEqual(states.map(({ script }) => script), [false, true, false, true, true, true, true, false]);
  assert.ok(states[2].text.includes("me/p") && states[2].text.includes("r") && states[6].text.includes("crashed"));
});
