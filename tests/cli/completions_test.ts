/** Completions, asked of the shells themselves. */
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { longhaul } from "./longhaul.ts";

/** A folder with completions, and files that stand for interfaces and configs. */
interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly env: Record<string, string>;
}

async function place(shell: string): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "longhaul-completions-" });
  const { code, stdout, stderr } = await longhaul(["completions", shell]);
  assertEquals([code, stderr], [0, ""]);
  await Deno.writeTextFile(`${folder}/longhaul.${shell}`, stdout);
  await Deno.mkdir(`${folder}/run/longhaul`, { recursive: true });
  for (const name of ["live0", "live1"]) {
    await Deno.writeTextFile(`${folder}/run/longhaul/${name}.sock`, "");
  }
  const state = `${folder}/.local/state/longhaul`;
  await Deno.mkdir(state, { recursive: true });
  await Deno.writeTextFile(`${state}/saved0.conf`, "");
  await Deno.mkdir(`${folder}/work/sub`, { recursive: true });
  await Deno.writeTextFile(`${folder}/work/own.conf`, "");
  await Deno.writeTextFile(`${folder}/work/notes.txt`, "");
  return {
    folder,
    env: { XDG_RUNTIME_DIR: `${folder}/run`, HOME: folder, TERM: "dumb", LC_ALL: "C.UTF-8" },
    async [Symbol.asyncDispose]() {
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** What each shell offers for a line up to the cursor; files of this machine may be among it. */
type Offers = (place: Place, line: string) => Promise<string[]>;

const bashOffers: Offers = async ({ folder, env }, line) => {
  const script = `cd "$1/work"; source "$1/longhaul.bash"; read -ra COMP_WORDS <<<"$2"
[[ $2 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _longhaul; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const argv = ["bash", "--norc", "-u", "-c", script, "bash", folder, line];
  return lines((await run(argv, { env })).stdout);
};

const fishOffers: Offers = async ({ folder, env }, line) => {
  const script = `cd $argv[1]/work; source $argv[1]/longhaul.fish; complete -C $argv[2]`;
  const { stdout, stderr } = await run(
    ["fish", "--no-config", "-c", script, folder, line],
    { env },
  );
  assertEquals(stderr, "");
  return lines(stdout).map((line) => line.split("\t")[0]);
};

/**
 * zsh completes in its line editor only, which wants a terminal. Nothing is typed there: the editor's
 * own start hook puts the line in, completes it and ends the shell, and a stand-in for compadd writes
 * down what is offered.
 */
const zshOffers: Offers = async ({ folder, env }, line) => {
  const rc = `cd $HOME/work; autoload -U compinit; compinit -u -D; source $HOME/longhaul.zsh
compadd() {
  local -a found; local words; words=("\${(@)argv}")
  builtin compadd -O found "$@" 2>/dev/null
  print -rl -- $found >>$HOME/offers
  builtin compadd "$@"
}
zstyle ':completion:*' verbose no
zle-line-init() {
  BUFFER=$LINE_TO_COMPLETE; CURSOR=$#BUFFER
  zle complete-word
  exit
}
zle -N zle-line-init
`;
  await Deno.writeTextFile(`${folder}/.zshrc`, rc);
  await Deno.writeTextFile(`${folder}/offers`, "");
  const driver = `zmodload zsh/zpty
zpty shell zsh -d -i
while zpty -r shell text; do print -rn -- $text; done`;
  const zshEnv = { ...env, ZDOTDIR: folder, PS1: "", LINE_TO_COMPLETE: line };
  await run(["zsh", "-f", "-c", driver], { env: zshEnv, timeoutMs: 60_000 });
  return lines(await Deno.readTextFile(`${folder}/offers`));
};

function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

/** A line up to the cursor, words that must be offered, and words that must not. */
const CASES: readonly (readonly [line: string, has: string[], hasNot: string[]])[] = [
  ["longhaul sta", ["status"], ["up"]],
  ["longhaul ", ["up", "down", "status", "service", "completions"], ["live0", "install"]],
  ["longhaul service ", ["install", "remove"], ["up"]],
  ["longhaul status ", ["live0", "live1"], ["saved0", "notes.txt", "own.conf"]],
  ["longhaul status live", ["live0", "live1"], ["status"]],
  ["longhaul status --i", ["--interval"], ["--watch"]],
  ["longhaul status --watch live", ["live0"], []],
  ["longhaul up ", ["saved0", "own.conf"], ["live0", "notes.txt"]],
  ["longhaul up --log-format ", ["text", "json", "journal"], ["saved0"]],
  ["longhaul up --log-level verbose s", ["saved0"], ["silent"]],
  ["longhaul setconf live0 ", ["notes.txt", "own.conf"], ["live1"]],
  ["longhaul show live0 lat", ["latest-handshakes"], ["live1"]],
  ["longhaul completions ", ["bash", "zsh", "fish"], ["live0"]],
  ["longhaul peer list --interface live", ["live0", "live1"], ["list"]],
  ["longhaul peer ", ["add", "list", "remove"], ["live0"]],
  ["longhaul service install --r", ["--root", "--root-dir"], ["--no-start"]],
];

for (
  const [shell, offers] of [["bash", bashOffers], ["zsh", zshOffers], ["fish", fishOffers]] as const
) {
  Deno.test({
    name: `${shell} completes commands, flags, their values, interfaces and configs`,
    ...requires(shell),
    async fn() {
      await using here = await place(shell);
      for (const [line, has, hasNot] of CASES) {
        const offered = await offers(here, line);
        const missing = has.filter((word) => !offered.includes(word));
        const wrong = hasNot.filter((word) => offered.includes(word));
        assertEquals([missing, wrong], [[], []], `${shell}: "${line}": ${offered.slice(0, 40)}`);
      }
    },
  });

  Deno.test({
    name: `${shell} finds no fault with its completions, and every command and flag is in them`,
    ...requires(shell),
    async fn() {
      await using here = await place(shell);
      const { stderr } = await run([shell, "-n", `${here.folder}/longhaul.${shell}`]);
      assertEquals(stderr, "");
      const text = await Deno.readTextFile(`${here.folder}/longhaul.${shell}`);
      for (const { name, flags } of COMMANDS) {
        for (const word of name.split(" ")) assert(text.includes(word), name);
        for (const flag of flags) assert(text.includes(flag.name), `${name} --${flag.name}`);
      }
    },
  });
}

Deno.test("completions of another shell are refused", async () => {
  const { code, stderr } = await longhaul(["completions", "tcsh"]);
  assertEquals([code, stderr], [
    2,
    'longhaul: completions takes bash, zsh or fish, not "tcsh"\n',
  ]);
});
