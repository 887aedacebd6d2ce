import assert from "node:assert/strict";
import { test } from "node:test";
import { inTheme, PALETTE, PALETTE_DARK, paletteColor, rankColor, withAlpha } from "../../../query/stepwell_query/web/js/ui/palette.js";

// Machado, Oliveira and Fernandes (2009): colours as seen with protanopia, deuteranopia and tritanopia.
const SIGHTS = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
const OKLAB = [[0.4122214708, 0.5363325363, 0.0514459929, 0.2119034982, 0.6806995451, 0.1073969566, 0.0883024619, 0.2817188376, 0.6299787005], [0.2104542553, 0.793617785, -0.0040720468, 1.9779984951, -2.428592205, 0.4505937099, 0.0259040371, 0.7827717662, -0.808675766]];
const times = (matrix, [a, b, c]) => [0, 3, 6].map((row) => matrix[row] * a + matrix[row + 1] * b + matrix[row + 2] * c);
const linear = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
const seen = (color, sight) => times(OKLAB[1], times(OKLAB[0], times(SIGHTS[sight], linear(color)).map((part) => Math.min(1, Math.max(0, part)))).map(Math.cbrt));
const least = (colors, sight) => Math.min(...colors.flatMap((a, at) => colors.slice(0, at).map((b) => Math.hypot(...seen(a, sight).map((part, index) => part - seen(b, sight)[index])))));
const luminance = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, at) => sum + weight * linear(color)[at], 0);
const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);

for (const [theme, colors, panel] of [["light", PALETTE, "#ffffff"], ["dark", PALETTE_DARK, "#1a1f26"]]) {
  test(`30 colours of the ${theme} theme stay apart for every sight and stand out from the panel`, () => {
    assert.equal(new Set(colors).size, 30);
    for (const sight of Object.keys(SIGHTS)) {
      assert.ok(least(colors, sight) > 0.033, sight);
      assert.ok(least(colors.slice(0, 10), sight) > 0.054, sight);
    }
    for (const color of colors) assert.ok(contrast(color, panel) >= 3, color);
  });
}

test("a dark theme shows its own form of a colour, and other colours as they are", () => {
  assert.deepEqual([inTheme(PALETTE[3], "dark"), inTheme(PALETTE[3], "light"), inTheme("#ff0000", "dark")], [PALETTE_DARK[3], PALETTE[3], "#ff0000"]);
});

test("the colours repeat", () => {
  assert.equal(paletteColor(3), paletteColor(3 + 30));
  assert.equal(paletteColor(-1), paletteColor(29));
  assert.equal(withAlpha("#102030", 0.5), "#10203080");
});

for (const [theme, panel] of [["light", "#ffffff"], ["dark", "#1a1f26"]]) {
  test(`many ranks have colours whose lightness follows their order in the ${theme} theme, for every sight`, () => {
    const colors = Array.from({ length: 64 }, (_, at) => inTheme(rankColor(at, 64), theme));
    assert.equal(new Set(colors).size, 64);
    for (const color of colors) assert.ok(/^#[0-9a-f]{6}$/.test(color) && contrast(color, panel) >= 3, color);
    for (const sight of Object.keys(SIGHTS)) {
      const lightness = colors.filter((_, at) => at % 7 === 0).map((color) => seen(color, sight)[0]);
      assert.deepEqual(lightness, [...lightness].sort((a, b) => a - b), sight);
    }
    assert.equal(rankColor(3, 12), PALETTE[3]);
  });
}
