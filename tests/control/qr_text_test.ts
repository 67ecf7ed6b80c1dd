import { assert, assertEquals } from "@std/assert";
import { qrText } from "../../src/control/qr_text.ts";
import { run } from "../netns/command.ts";
import { requires } from "../requires.ts";

const MODULE_PIXELS = 4;

/** What a terminal shows of a text: light pixels as 1, in rows, two for each line. */
function pixelsOf(text: string): number[][] {
  const rows: number[][] = [];
  for (const line of text.trimEnd().split("\n")) {
    // In colour the ink is black and the paper white; else the ink is light and the paper dark.
    const isColour = line.startsWith("\x1b[38;5;16;48;5;231m");
    const ink = isColour ? 0 : 1;
    // deno-lint-ignore no-control-regex
    const characters = [...line.replace(/\x1b\[[0-9;]*m/g, "")];
    rows.push(characters.map((one) => "█▀".includes(one) ? ink : 1 - ink));
    rows.push(characters.map((one) => "█▄".includes(one) ? ink : 1 - ink));
  }
  return rows;
}

/** The pixels as a grey picture (netpbm's PGM), which other programs read. */
function pictureOf(rows: number[][]): string {
  const scaled = rows.flatMap((row) => {
    const line = row.flatMap((pixel) => Array(MODULE_PIXELS).fill(pixel * 255)).join(" ");
    return Array(MODULE_PIXELS).fill(line);
  });
  const width = rows[0].length * MODULE_PIXELS;
  return `P2\n${width} ${scaled.length}\n255\n${scaled.join("\n")}\n`;
}

const CONFIG = `[Interface]
PrivateKey = ${"A".repeat(43)}=
Address = 10.201.7.2/32, fd12:3456:789a::2/128
[Peer]
PublicKey = ${"B".repeat(43)}=
PresharedKey = ${"C".repeat(43)}=
AllowedIPs = 10.201.7.0/24, fd12:3456:789a::/64
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25
`;

for (const colour of [true, false]) {
  Deno.test({
    name: `another program reads what the terminal shows, ${colour ? "in" : "without"} colour`,
    ...requires("zbarimg"),
    async fn() {
      const folder = await Deno.makeTempDir();
      try {
        for (const text of ["x", CONFIG, CONFIG.repeat(4)]) {
          const rows = pixelsOf(qrText(text, { colour })!);
          // Four modules of quiet zone on every side.
          for (const row of [...rows.slice(0, 4), ...rows.slice(-5, -1)]) {
            assert(row.every((pixel) => pixel === 1));
          }
          assert(
            rows.every((row) => [...row.slice(0, 4), ...row.slice(-4)].join("") === "11111111"),
          );
          const picture = `${folder}/code.pgm`;
          await Deno.writeTextFile(picture, pictureOf(rows));
          const { stdout } = await run(["zbarimg", "--quiet", "--raw", "-Sbinary", picture]);
          assertEquals(stdout, text);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

Deno.test("a text that no code holds gives none", () => {
  assertEquals(qrText("x".repeat(2954), { colour: false }), null);
  assert(qrText("x".repeat(2953), { colour: false }) !== null);
});

Deno.test("a config fits a terminal of 80 columns and 40 lines", () => {
  const lines = qrText(CONFIG, { colour: false })!.trimEnd().split("\n");
  assert(lines.length <= 40 && [...lines[0]].length <= 80, `${lines.length}`);
});
