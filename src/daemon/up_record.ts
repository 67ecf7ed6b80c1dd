/**
 * What a running `up` will have to undo, written down before it is done, so that whoever comes after
 * a `kill -9` (`down`, or the next `up` of that name) can undo it.
 *
 * One file per interface, NAME.json, mode 600, in `/run/longhaul` or a folder of the user. It is
 * rewritten as a whole for each step, and goes away with the last one. A tunnel that changes nothing
 * but its own interface has none: with the process go the interface, its addresses and its routes.
 */
import { effectiveUserId, getEnvironment } from "../../ffi/environment.ts";
import {
  exists,
  fileStatus,
  isWritable,
  listFolder,
  makeFolders,
  readTextFile,
  removeFile,
  writeFileAtomic,
} from "../../ffi/files.ts";
import { ownNamespaceName } from "../../ffi/netns.ts";
import { ownProcessId } from "../../ffi/process.ts";
import { stateFolder } from "./paths.ts";
import { SetupError } from "./setup_error.ts";

/** One thing to undo. Undoing what was never done, or is undone already, does no harm. */
export type UndoStep =
  /** Commands for a shell. Those before the step `interface` run when it has gone. */
  | {
    readonly kind: "hooks";
    readonly when: "PreDown" | "PostDown";
    readonly commands: readonly string[];
  }
  /** The interface itself: it goes with the process. */
  | { readonly kind: "interface" }
  /** Name servers that resolvconf was told under this name. */
  | { readonly kind: "resolvconf"; readonly entry: string }
  /** Name servers that systemd-resolved was told for the interface. */
  | { readonly kind: "resolved" }
  /** A routing policy rule. */
  | ({ readonly kind: "rule" } & PolicyRule)
  /** A file of /proc/sys and what was in it. */
  | { readonly kind: "sysctl"; readonly path: string; readonly value: string }
  /** A table of nft, of the family inet. */
  | { readonly kind: "nft"; readonly table: string }
  /** Rules of iptables or ip6tables that bear our comment. */
  | { readonly kind: "iptables"; readonly program: IptablesProgram; readonly comment: string };

export type IptablesProgram = "iptables" | "ip6tables";

/** The rules that a default route needs; see `default_route.ts`. */
export interface PolicyRule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  /** The rule is for packets without this mark. */
  readonly notMark?: number;
  readonly suppressPrefixLength?: number;
}

/** What stands in the file. */
export interface RecordContent {
  readonly version: 1;
  readonly interfaceName: string;
  /** The process that wrote it, and when that began: process ids are used again. */
  readonly processId: number;
  readonly processStart: string;
  /** After another boot there is nothing left to undo. */
  readonly bootId: string;
  /** The network namespace that the steps were done in. */
  readonly namespace: string;
  /** In the order in which they were done. */
  readonly steps: readonly UndoStep[];
}

const VERSION = 1;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const SYSTEM_FOLDER = "/run/longhaul";

/** The folder of the records; null for a user who has no place for one. */
function recordFolder(): string | null {
  if (effectiveUserId() === 0) return SYSTEM_FOLDER;
  // systemd names all folders of a unit, with colons between them.
  const runtime = getEnvironment("XDG_RUNTIME_DIR") ??
    getEnvironment("RUNTIME_DIRECTORY")?.split(":")[0];
  if (runtime?.startsWith("/") && isWritable(runtime)) return `${runtime}/longhaul`;
  const state = stateFolder();
  return state === null ? null : `${state}/run`;
}

function recordPath(interfaceName: string): string | null {
  const folder = recordFolder();
  return folder === null ? null : `${folder}/${interfaceName}.json`;
}

/** The record of this process. `onChange` is called around every change, for tests. */
export class UpRecord {
  readonly #head: Omit<RecordContent, "steps">;
  readonly #path: string | null;
  readonly #onChange: () => void;
  #steps: UndoStep[] = [];

  private constructor(
    head: Omit<RecordContent, "steps">,
    steps: readonly UndoStep[],
    onChange: () => void,
  ) {
    this.#head = head;
    this.#path = recordPath(head.interfaceName);
    this.#steps = [...steps];
    this.#onChange = onChange;
  }

  /** An empty record; there is no file until something stands in it. */
  static begin(interfaceName: string, onChange: () => void = () => {}): UpRecord {
    const processId = ownProcessId();
    return new UpRecord(
      {
        version: VERSION,
        interfaceName,
        processId,
        processStart: processStart(processId) ?? "",
        bootId: bootId(),
        namespace: ownNamespaceName(),
      },
      [],
      onChange,
    );
  }

  /** The record that another process has left behind, to be undone by this one. */
  static takeOver(content: RecordContent, onChange: () => void = () => {}): UpRecord {
    const { steps, ...head } = content;
    return new UpRecord(head, steps, onChange);
  }

  get interfaceName(): string {
    return this.#head.interfaceName;
  }

  /** What is to be undone, in the order in which it was done. */
  get steps(): readonly UndoStep[] {
    return this.#steps;
  }

  /**
   * Writes a step down; the caller does it next. The first one that is not PostDown comes behind the
   * step `interface`. Throws `SystemCallError`.
   */
  add(step: UndoStep): void {
    this.#onChange();
    const isOutside = step.kind === "hooks" && step.when === "PostDown";
    if (!isOutside && !this.#steps.some(({ kind }) => kind === "interface")) {
      this.#steps.push({ kind: "interface" });
    }
    this.#steps.push(step);
    this.#write();
    this.#onChange();
  }

  /** Strikes the last step out: it has been undone, or was not done after all. */
  strikeLast(): void {
    this.#onChange();
    this.#steps.pop();
    // An interface alone needs nobody to undo it.
    if (this.#steps.length === 1 && this.#steps[0].kind === "interface") this.#steps.pop();
    this.#write();
    this.#onChange();
  }

  #write(): void {
    if (this.#path === null) {
      throw new SetupError("There is no folder to write down what has to be undone: set HOME");
    }
    if (this.#steps.length === 0) {
      removeFile(this.#path);
      return;
    }
    makeFolders(this.#path.slice(0, this.#path.lastIndexOf("/")), FOLDER_MODE);
    const content: RecordContent = { ...this.#head, steps: this.#steps };
    writeFileAtomic(this.#path, `${JSON.stringify(content, null, 2)}\n`, FILE_MODE);
  }
}

/** A record that was found, and what it is good for. */
export interface FoundRecord {
  readonly content: RecordContent;
  /** Whether the process that wrote it still runs. */
  readonly isLive: boolean;
  /** Whether its steps were done where this process is. */
  readonly isHere: boolean;
}

/**
 * The record of an interface; null when there is none, or when it is from before the last boot.
 * Throws `SetupError` when it cannot be understood or trusted.
 */
export function findRecord(interfaceName: string): FoundRecord | null {
  const path = recordPath(interfaceName);
  if (path === null || !exists(path)) return null;
  checkOwner(path);
  const content = parseRecord(readTextFile(path, FILE_BYTES_MAX));
  if (content === null) {
    throw new SetupError(`${path} is not a record of this program's: remove it`);
  }
  if (content.bootId !== bootId()) {
    removeFile(path);
    return null;
  }
  return {
    content,
    isLive: processStart(content.processId) === content.processStart,
    isHere: content.namespace === ownNamespaceName(),
  };
}

/** Removes the record of an interface, undone or not. */
export function forgetRecord(interfaceName: string): void {
  const path = recordPath(interfaceName);
  if (path !== null) removeFile(path);
}

/** Commands of a record are run: it has to be this user's own, and nobody else's to write. */
function checkOwner(path: string): void {
  const status = fileStatus(path);
  if (status === undefined) return;
  if (status.ownerUid === effectiveUserId() && (status.mode & 0o022) === 0) return;
  throw new SetupError(`${path} belongs to another user, or can be written by others: remove it`);
}

/** The steps in the records of all other interfaces of this namespace. */
export function stepsOfOthers(interfaceName: string): UndoStep[] {
  const folder = recordFolder();
  if (folder === null || !exists(folder)) return [];
  const [boot, namespace] = [bootId(), ownNamespaceName()];
  const steps: UndoStep[] = [];
  for (const file of listFolder(folder)) {
    if (!file.endsWith(".json") || file === `${interfaceName}.json`) continue;
    // Another process may be removing it.
    const path = `${folder}/${file}`;
    const content = exists(path) ? parseRecord(readTextFile(path, FILE_BYTES_MAX)) : null;
    if (content === null || content.bootId !== boot || content.namespace !== namespace) continue;
    steps.push(...content.steps);
  }
  return steps;
}

function parseRecord(text: string): RecordContent | null {
  try {
    const content = JSON.parse(text);
    return content?.version === VERSION && Array.isArray(content.steps) ? content : null;
  } catch {
    return null;
  }
}

function bootId(): string {
  return readTextFile("/proc/sys/kernel/random/boot_id", 100).trim();
}

/** When a process began, in ticks since boot (field 22 of proc(5)'s stat); undefined for none. */
function processStart(processId: number): string | undefined {
  const path = `/proc/${processId}/stat`;
  if (!exists(path)) return undefined;
  const text = readTextFile(path, 4096);
  // The second field is the program's name in parentheses, and may hold anything.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[22 - 3];
}
