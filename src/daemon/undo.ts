/** Undoing what a record says was done, the last thing first. */
import { interfaceExists } from "./interface_setup.ts";
import { removePolicyRule } from "./default_route.ts";
import { removeResolvconf, removeResolved } from "./dns.ts";
import { removeIptablesRules, removeNftTable } from "./firewall.ts";
import { runAllHooks } from "./hooks.ts";
import { restoreSysctl } from "./sysctl.ts";
import type { UndoStep, UpRecord } from "./up_record.ts";

/** Told of what could not be undone; the rest is undone all the same. */
export type ReportProblem = (problem: string) => void;

/**
 * Undoes what has to be undone while the interface is still there: everything behind the step
 * `interface`, at most `stepsMax` steps. Does not reject.
 */
export async function undoBeforeInterface(
  record: UpRecord,
  report: ReportProblem,
  stepsMax = Infinity,
): Promise<void> {
  if (!record.steps.some(({ kind }) => kind === "interface")) return;
  for (let left = stepsMax; left > 0; left--) {
    const last = record.steps.at(-1);
    if (last === undefined || last.kind === "interface") return;
    await undoLast(record, report);
  }
}

/** Undoes everything that is left; the record's file is then gone. Does not reject. */
export async function undoAll(record: UpRecord, report: ReportProblem): Promise<void> {
  while (record.steps.length > 0) await undoLast(record, report);
}

async function undoLast(record: UpRecord, report: ReportProblem): Promise<void> {
  try {
    await undoStep(record.interfaceName, record.steps[record.steps.length - 1], report);
  } catch (error) {
    report(error instanceof Error ? error.message : String(error));
  }
  try {
    record.strikeLast();
  } catch (error) {
    report(error instanceof Error ? error.message : String(error));
  }
}

async function undoStep(
  interfaceName: string,
  step: UndoStep,
  report: ReportProblem,
): Promise<void> {
  switch (step.kind) {
    case "hooks":
      return await runAllHooks(step.commands, { interfaceName, key: step.when }, report);
    case "interface":
      return;
    case "resolvconf":
      return await removeResolvconf(step.entry);
    case "resolved":
      return interfaceExists(interfaceName) ? await removeResolved(interfaceName) : undefined;
    case "rule":
      return removePolicyRule(step);
    case "sysctl":
      return restoreSysctl(interfaceName, step.path, step.value);
    case "nft":
      return await removeNftTable(step.table);
    case "iptables":
      return await removeIptablesRules(step.program, step.comment);
  }
}
