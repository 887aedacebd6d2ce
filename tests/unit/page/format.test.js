import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, duration, exact, short, shown } from "../../../query/stepwell_query/web/js/ui/format.js";

test("numbers are short in lists and have all digits under the cursor", () => {
  assert.deepEqual([short(0.1 + 0.2), short(1234567), short(1e-7), short(0), short(-Infinity), short(99999)], ["0.3", "1.235M", "1.00e-7", "0", "-∞", "100000"]);
  assert.equal(exact(0.1 + 0.2), "0.30000000000000004");
});

test("times and sizes", () => {
  assert.deepEqual([duration(0.5), duration(75), duration(3600), duration(90061), duration(NaN)], ["0.5 s", "1 min 15 s", "1 h", "1 d 1 h", "–"]);
  assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T01:00:30Z")), "1 h ago");
  assert.deepEqual([bytes(10), bytes(2048), bytes(3 * 2 ** 30)], ["10 B", "2.00 KiB", "3.00 GiB"]);
});

test("any value is one line", () => {
  assert.deepEqual([shown(null), shown(true), shown([1, 2]), shown("x"), shown(0.123456)], ["", "true", "[1,2]", "x", "0.1235"]);
});
