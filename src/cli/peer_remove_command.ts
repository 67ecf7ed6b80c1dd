/** `longhaul peer remove NAME|KEY`: out of the file and of the running interface. */
import { removePeer } from "../config/edit.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import type { CommandSpec } from "./command_spec.ts";
import { editPeerFile, findPeer, findPeerFile, INTERFACE_FLAG } from "./peer_file.ts";

export const peerRemoveCommand: CommandSpec = {
  name: "peer remove",
  summary: "remove a peer from the config file and the running interface",
  words: "NAME|KEY",
  count: { min: 1, max: 1, rule: "peer remove takes the name of a peer, or its public key" },
  flags: [INTERFACE_FLAG],
  examples: [["peer remove phone", "it cannot connect any more from this moment on"]],
  about: "The rest of the file stays as it is, comments and order included.",
  run: ({ words, flags }) => runPeerRemove(words[0], flags.text("interface")),
};

async function runPeerRemove(nameOrKey: string, wanted: string | undefined): Promise<number> {
  await editPeerFile(findPeerFile(wanted), ({ text, config }) => {
    const { publicKey } = findPeer(config, nameOrKey);
    return {
      text: removePeer(text, formatKeyBase64(publicKey)),
      change: { peers: [{ publicKey, remove: true, allowedIps: [] }] },
    };
  });
  return 0;
}
