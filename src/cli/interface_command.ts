/**
 * `longhaul [-f] INTERFACE`: an interface without any configuration, to be set up through its UAPI
 * socket. Arguments, environment and exit codes are wireguard-go's, so that `wg-quick` and other
 * programs can use either.
 */
import { getEnvironment } from "../../ffi/environment.ts";
import { isUserError, SOCKET_BUFFER_BYTES, startDaemon } from "../daemon/daemon.ts";
import { parseLogLevel, setUpLog } from "../daemon/log_setup.ts";
import { reportReady, startInBackground } from "./background.ts";
import { checkInterfaceName } from "./config_file.ts";
import { environmentNumber, environmentOffload, sessionLimits, testFault } from "./environment.ts";
import { chooseWorkers, wantedByEnvironment } from "./workers.ts";

/** Runs the command; resolves with the exit code when the interface has ended. */
export async function runInterface(
  interfaceName: string,
  isForeground: boolean,
  mainUrl: string,
): Promise<number> {
  checkInterfaceName(interfaceName);
  const tunFd = environmentNumber("WG_TUN_FD");
  const uapiFd = environmentNumber("WG_UAPI_FD");
  const offload = environmentOffload();
  const wanted = wantedByEnvironment();
  const stays = isForeground || getEnvironment("WG_PROCESS_FOREGROUND") === "1";
  if (!stays) return runInBackground(interfaceName, mainUrl, tunFd, uapiFd);
  const log = setUpLog(interfaceName, parseLogLevel(getEnvironment("LOG_LEVEL")));
  const shape = { peers: 0, hasStack: false, isAdopted: tunFd !== undefined };
  try {
    const daemon = await startDaemon({
      interfaceName,
      log,
      ...chooseWorkers(wanted, shape, log),
      socketBufferBytes: SOCKET_BUFFER_BYTES,
      offload,
      tunFd,
      uapiFd,
      limits: sessionLimits(),
      fault: testFault(),
    });
    daemon.ready();
    reportReady(null);
    return await daemon.ended;
  } catch (error) {
    if (!isUserError(error)) throw error;
    reportReady(error.message);
    console.error(`longhaul: ${error.message}`);
    return 1;
  }
}

function runInBackground(
  interfaceName: string,
  mainUrl: string,
  tunFd?: number,
  uapiFd?: number,
): number {
  const problem = startInBackground({
    mainUrl,
    args: ["-f", interfaceName],
    passedFds: [tunFd, uapiFd].filter((fd) => fd !== undefined),
    keepOutput: !["", "silent"].includes(getEnvironment("LOG_LEVEL") ?? ""),
  });
  if (problem === null) return 0;
  console.error(`longhaul: ${problem}`);
  return 1;
}
