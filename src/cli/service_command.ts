/** `longhaul service install|remove`: a tunnel that systemd starts, watches and restarts. */
import { effectiveUserId, environmentList } from "../../ffi/environment.ts";
import {
  canonicalPath,
  exists,
  listFolder,
  makeFolders,
  removeFile,
  writeFileAtomic,
} from "../../ffi/files.ts";
import { removeTree } from "../../ffi/copy.ts";
import { runProgram } from "../../ffi/run_program.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { wipeKeys } from "../config/device_change.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { findProgram } from "../daemon/system_program.ts";
import { printText } from "../daemon/terminal.ts";
import type { CommandInput, CommandSpec, FlagSpec } from "./command_spec.ts";
import { type ConfigPlace, findConfig, readConfig } from "./config_file.ts";
import { UsageError } from "./environment.ts";
import { allVersionsFolder, installProgram, libraryFolder } from "./service_install.ts";
import {
  CONFIG_FOLDER,
  configDropIn,
  reasonsForRoot,
  ROOT_UNIT,
  rootUnit,
  SANDBOXED_UNIT,
  sandboxedUnit,
} from "./service_units.ts";

const UNIT_FOLDER = "/etc/systemd/system";
const WANTS_FOLDER = `${UNIT_FOLDER}/multi-user.target.wants`;
const UNITS = [SANDBOXED_UNIT, ROOT_UNIT] as const;
const DROP_IN = "config.conf";
const SYSTEMCTL_TIMEOUT_MS = 60_000;
const USER_ERROR = 1;

const ROOT_DIR_FLAG: FlagSpec = {
  name: "root-dir",
  value: "FOLDER",
  help: "write below this folder, for images and packages; nothing is started or ended",
};

export const serviceInstallCommand: CommandSpec = {
  name: "service install",
  summary: "have systemd start a tunnel at boot, watch it and restart it",
  words: "FILE|NAME",
  count: { min: 1, max: 1, rule: "service install takes a config file or the name of one" },
  flags: [
    ROOT_DIR_FLAG,
    { name: "root", help: "take the unit with the rights of root, whatever the config needs" },
    { name: "no-start", help: "enable it for the next boot, but do not start it" },
  ],
  examples: [
    ["service install wg0", "the tunnel of /etc/wireguard/wg0.conf"],
    ["service install wg0 --no-start", "the same, from the next boot on"],
  ],
  about: `Two units
  longhaul@NAME        a user of its own with CAP_NET_ADMIN and /dev/net/tun, nothing else; what is
                       changed in its config reaches it by systemctl reload or longhaul reload
  longhaul-quick@NAME  root, for a config with hooks, DNS, SaveConfig, a default route, or a port
                       below 1024
The one that fits is taken, and why is said. Deno and the program are copied to
${allVersionsFolder()}/VERSION; a service depends on nothing else.`,
  run: runInstall,
};

export const serviceRemoveCommand: CommandSpec = {
  name: "service remove",
  summary: "undo service install",
  words: "NAME",
  count: { min: 1, max: 1, rule: "service remove takes the name of a tunnel" },
  flags: [ROOT_DIR_FLAG],
  examples: [["service remove wg0", "end it, and do not start it any more"]],
  about: "With the last tunnel go the units and the copies of the program. Configs stay.",
  run: runRemove,
};

/** Whether a service is to be put on this machine or into a folder. */
interface Place {
  /** Goes before every path; empty for the machine itself. */
  readonly root: string;
}

function placeOf({ flags }: CommandInput): Place {
  const folder = flags.text("root-dir");
  if (folder === undefined) return { root: "" };
  const root = canonicalPath(folder);
  if (root === undefined) throw new UsageError(`--root-dir: there is no folder ${folder}`);
  return { root: root === "/" ? "" : root };
}

async function runInstall(input: CommandInput): Promise<number> {
  const { words, flags, mainUrl } = input;
  const place = placeOf(input), { root } = place;
  checkRights(place, "install");
  const config = findServiceConfig(words[0], root);
  const reasons = whyRoot(config, root);
  if (reasons === null) return USER_ERROR;
  const unit = flags.has("root") || reasons.length > 0 ? ROOT_UNIT : SANDBOXED_UNIT;
  const why = reasons.length > 0 ? reasons.join(", ") : flags.has("root") ? "--root" : "";
  tell(
    unit === ROOT_UNIT
      ? `${unit}${config.interfaceName}, with the rights of root: ${why}`
      : `${unit}${config.interfaceName}, sandboxed: the config needs nothing that only root may do`,
  );
  await installProgram(root, mainUrl);
  tell(`copied Deno and the program to ${root}${libraryFolder()}`);
  writeUnits(root, unit, config);
  await enable(place, `${unit}${config.interfaceName}.service`, flags.has("no-start"));
  return 0;
}

/** Says what is missing before anything is done. */
function checkRights({ root }: Place, what: string): void {
  if (root === "" && effectiveUserId() !== 0) {
    throw new SetupError(`service ${what} needs root: call it with sudo`);
  }
  if (findProgram("systemctl") === null) {
    throw new SetupError(
      "There is no systemctl here: this machine has no systemd to start tunnels",
    );
  }
}

/** With a folder for a root, the name of a config means one below it. */
function findServiceConfig(argument: string, root: string): ConfigPlace {
  const place = findConfig(argument);
  const path = canonicalPath(place.path) ?? place.path;
  if (root === "" || !path.startsWith(`${root}/`)) return { ...place, path };
  return { ...place, path: path.slice(root.length) };
}

/** Why the config needs root; null, with everything said, when it has errors. */
function whyRoot(place: ConfigPlace, root: string): string[] | null {
  const { crypto } = selectNoiseCrypto();
  const path = exists(root + place.path) ? root + place.path : place.path;
  const config = readConfig({ ...place, path }, (key) => crypto.x25519PublicKey(key));
  if (config === null) return null;
  wipeKeys(config.device);
  return reasonsForRoot(config);
}

function writeUnits(root: string, unit: string, { interfaceName, path }: ConfigPlace): void {
  const options = { libraryFolder: libraryFolder() };
  const folder = root + UNIT_FOLDER;
  makeFolders(folder, 0o755);
  writeFileAtomic(`${folder}/${SANDBOXED_UNIT}.service`, sandboxedUnit(options), 0o644);
  writeFileAtomic(`${folder}/${ROOT_UNIT}.service`, rootUnit(options), 0o644);
  for (const each of UNITS) removeTree(`${folder}/${each}${interfaceName}.service.d`);
  if (path !== `${CONFIG_FOLDER}/${interfaceName}.conf`) {
    const dropIns = `${folder}/${unit}${interfaceName}.service.d`;
    makeFolders(dropIns, 0o755);
    writeFileAtomic(`${dropIns}/${DROP_IN}`, configDropIn(options, unit, path), 0o644);
  }
  tell(`wrote ${folder}/${SANDBOXED_UNIT}.service and ${ROOT_UNIT}.service`);
}

async function enable(place: Place, service: string, isLater: boolean): Promise<void> {
  const [other] = UNITS.map((unit) => unit + service.slice(service.indexOf("@") + 1))
    .filter((name) => name !== service);
  await disable(place, other);
  await systemctl(place, ["enable", service]);
  tell(`enabled ${service}`);
  if (!isRunning(place)) return tell("systemd does not run here: nothing was started");
  await systemctl(place, ["daemon-reload"]);
  if (isLater) return;
  await systemctl(place, ["restart", service]);
  tell(`started it; see it with: systemctl status ${service}`);
}

async function runRemove(input: CommandInput): Promise<number> {
  const place = placeOf(input), { root } = place;
  checkRights(place, "remove");
  const name = findConfig(input.words[0]).interfaceName;
  const services = UNITS.map((unit) => `${unit}${name}.service`);
  const installed = services.filter((service) => enabledServices(root).includes(service));
  if (installed.length === 0) throw new SetupError(`There is no service for ${name}`);
  for (const service of installed) {
    await disable(place, service);
    removeTree(`${root}${UNIT_FOLDER}/${service}.d`);
    tell(`removed ${service}`);
  }
  if (!hasInstances(root)) removeProgram(root);
  if (isRunning(place)) await systemctl(place, ["daemon-reload"]);
  return 0;
}

/** Whether any tunnel is a service still. */
function hasInstances(root: string): boolean {
  return enabledServices(root).some((name) => UNITS.some((unit) => name.startsWith(unit)));
}

/** The services that are started at boot; below another root their links lead nowhere. */
function enabledServices(root: string): string[] {
  const folder = root + WANTS_FOLDER;
  return exists(folder) ? listFolder(folder) : [];
}

function removeProgram(root: string): void {
  for (const unit of UNITS) removeFile(`${root}${UNIT_FOLDER}/${unit}.service`);
  removeTree(root + allVersionsFolder());
  tell(`removed the units and ${root}${allVersionsFolder()}: it was the last tunnel`);
}

async function disable(place: Place, service: string): Promise<void> {
  if (!enabledServices(place.root).includes(service)) return;
  if (isRunning(place)) await systemctl(place, ["stop", service]);
  await systemctl(place, ["disable", service]);
}

/** Whether the services of a place can be started now. */
function isRunning({ root }: Place): boolean {
  return root === "" && exists("/run/systemd/system");
}

async function systemctl({ root }: Place, args: readonly string[]): Promise<void> {
  const where = root === "" ? [] : [`--root=${root}`];
  const result = await runProgram({
    program: findProgram("systemctl") ?? "systemctl",
    args: [...where, "--no-ask-password", ...args],
    environment: environmentList(),
    timeoutMs: SYSTEMCTL_TIMEOUT_MS,
  });
  if (result.code === 0) return;
  throw new SetupError(`systemctl ${args.join(" ")} failed: ${result.stderr.trim()}`);
}

function tell(text: string): void {
  printText(`${text}\n`);
}
