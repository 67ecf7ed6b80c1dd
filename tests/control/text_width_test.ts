import { assertEquals } from "@std/assert";
import { fitText, padText, textWidth } from "../../src/control/text_width.ts";

Deno.test("a text is as wide as a terminal draws it", () => {
  const cases: [string, number][] = [
    ["", 0],
    ["phone", 5],
    ["Zoë", 3],
    ["Zoe\u0308", 3],
    ["日本語", 6],
    ["한국", 4],
    ["📱", 2],
    ["… ▁", 3],
  ];
  for (const [text, width] of cases) assertEquals(textWidth(text), width, text);
});

Deno.test("a text is padded and cut to columns, and never within a character", () => {
  assertEquals(padText("日本", 6), "日本  ");
  assertEquals(padText("phone", 3), "phone");
  assertEquals(fitText("phone", 5), "phone");
  assertEquals(fitText("phones", 5), "phon…");
  assertEquals(fitText("日本語", 5), "日本…");
  assertEquals(fitText("日本語", 4), "日… ");
  assertEquals(fitText("a📱b", 3), "a… ");
});
