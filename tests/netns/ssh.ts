/** An sshd of a test, and the client that talks to it. */
import { findProgram } from "../requires.ts";
import { Foreground } from "../cli/longhaul.ts";
import { run, waitFor } from "./command.ts";
import type { Net } from "./net.ts";
import { listens } from "./traffic.ts";

export const SSH_NEEDS = ["ssh", "ssh-keygen", "/usr/sbin/sshd"];
/** Where the server listens. */
export const SSHD_PORT = 2222;

/** Starts an sshd at these addresses; returns the file of a key with which root may come in. */
export async function startSshd(
  net: Net,
  namespace: string,
  ...addresses: readonly string[]
): Promise<string> {
  const folder = `${net.folder}/ssh`;
  Deno.mkdirSync(folder, { mode: 0o700 });
  for (const name of ["host", "user"]) {
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${name}`]);
  }
  const config = `Port ${SSHD_PORT}
${addresses.map((address) => `ListenAddress ${address}`).join("\n")}
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
`;
  Deno.writeTextFileSync(`${folder}/config`, config);
  Deno.mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const argv = [findProgram("/usr/sbin/sshd")!, "-D", "-e", "-f", `${folder}/config`];
  const server = Foreground.start(net, namespace, argv);
  await waitFor("sshd listens", 10_000, () => listens(server.child.pid, SSHD_PORT));
  return `${folder}/user`;
}

/** The words of a client that logs in as root at `address` with that key, and asks nothing. */
export function sshCommand(net: Net, key: string, address: string, port = 22): string[] {
  const options = ["StrictHostKeyChecking=no", `UserKnownHostsFile=${net.folder}/known`];
  const words = [...options, "LogLevel=ERROR", "BatchMode=yes"].flatMap((word) => ["-o", word]);
  return ["ssh", "-F", "none", "-i", key, "-p", `${port}`, ...words, `root@${address}`];
}
