/** Enters the namespace named by the argument and cannot come back; started by `netns_test.ts`. */
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { CAP_SYS_ADMIN, dropCapability } from "./netns_fixture.ts";

withNamespace(openNamespace(Deno.args[0]), () => dropCapability(CAP_SYS_ADMIN));
console.log("still alive");
