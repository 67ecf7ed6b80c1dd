/** Names of routing tables, as `ip route` knows them. */
import { exists, listFolder, readTextFile } from "../../ffi/files.ts";

/** Files of `NUMBER NAME` lines, and folders of such files; the first that knows a name counts. */
const FILES = ["/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables"];
const FOLDERS = ["/etc/iproute2/rt_tables.d", "/usr/share/iproute2/rt_tables.d"];
const FILE_BYTES_MAX = 1024 * 1024;

/** The number of the table that is called so; undefined when none is. */
export function routingTableNumber(name: string): number | undefined {
  const inFolders = FOLDERS.filter(exists).flatMap((folder) =>
    listFolder(folder).filter((file) => file.endsWith(".conf")).map((file) => `${folder}/${file}`)
  );
  for (const path of [...FILES.filter(exists), ...inFolders]) {
    const number = findTable(readTextFile(path, FILE_BYTES_MAX), name);
    if (number !== undefined) return number;
  }
  return undefined;
}

/** The number of a table in the text of such a file. */
export function findTable(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+|0x[0-9a-f]+)\s+(\S+)/i.exec(line);
    if (match !== null && match[2] === name) return Number(match[1]);
  }
  return undefined;
}
