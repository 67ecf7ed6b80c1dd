import { assert, assertEquals, assertThrows } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import {
  formatRequest,
  parseAnswer,
  RequestError,
  type RequestHandler,
  type RequestHandlers,
  textFields,
  textOf,
} from "../../src/control/request.ts";
import { UapiSession } from "../../src/control/uapi.ts";
import { ConfigurationError } from "../../src/wireguard/configuration.ts";

const TARGET = {
  apply() {},
  status: () => ({ privateKey: null, listenPort: 0, fwmark: 0, peers: [] }),
};

const encode = (text: string) => new TextEncoder().encode(text);

function readAll(session: UapiSession): string {
  let text = "";
  for (let chunk = session.pollOutput(); chunk !== null; chunk = session.pollOutput()) {
    text += new TextDecoder().decode(chunk);
  }
  return text;
}

function handlers(handler: RequestHandler): RequestHandlers {
  return new Map([["echo", handler]]);
}

function talk(text: string, handler: RequestHandler): { answer: string; session: UapiSession } {
  const session = new UapiSession(TARGET, { requests: handlers(handler) });
  session.onData(encode(text));
  return { answer: readAll(session), session };
}

Deno.test("a request is answered by its handler's fields, and get goes on working after it", () => {
  const request = formatRequest({ name: "echo", fields: [["a", "1"], ["b", "x=y"]] });
  const { answer, session } = talk(request + "get=1\n\n", (fields) => fields);
  assertEquals(answer, "a=1\nb=x=y\nerrno=0\n\nerrno=0\n\n");
  assertEquals(session.closed, false);
  assertEquals(parseAnswer("a=1\nb=x=y\nerrno=0\n\n"), [["a", "1"], ["b", "x=y"]]);
});

Deno.test("a request that nobody serves ends the connection without a word, as elsewhere", () => {
  const { answer, session } = talk("longhaul=other\n\n", () => []);
  assertEquals([answer, session.closed], ["", true]);
  assertEquals(parseAnswer(answer), null);
});

Deno.test("an answer of another program is told from one of ours", () => {
  for (
    const text of ["", "errno=22\n\n", "errno=-22\n\n", "a=1\n", "a=1\nerrno=0", "nonsense\n\n"]
  ) {
    assertEquals(parseAnswer(text), null, text);
  }
});

Deno.test("every reason of a failure reaches the client", () => {
  const { answer } = talk("longhaul=echo\n\n", () => {
    throw new RequestError(["first\nreason", "second reason"], Errno.EBUSY);
  });
  assertEquals(answer, "error=first reason\nerror=second reason\nerrno=16\n\n");
  const error = assertThrows(() => parseAnswer(answer), RequestError);
  assertEquals([error.reasons, error.errno], [["first reason", "second reason"], Errno.EBUSY]);
});

Deno.test("a line without = and too many lines are refused, the handler is not asked", () => {
  const never = () => {
    throw new Error("asked");
  };
  assert(talk("longhaul=echo\nnonsense\n\n", never).answer.endsWith("errno=22\n\n"));
  const max = 1 << 18;
  const many = "longhaul=echo\n" + "a=1\n".repeat(max + 1) + "\n";
  assertEquals(talk(many, never).answer, `error=line ${max + 1}: too many lines\nerrno=22\n\n`);
});

Deno.test("while a handler works nothing is read, and its answer is announced", async () => {
  const done = Promise.withResolvers<Iterable<[string, string]>>();
  let announced = 0;
  const session = new UapiSession(TARGET, {
    requests: handlers(() => done.promise),
    onOutput: () => announced++,
  });
  session.onData(encode("longhaul=echo\n\nget=1\n\n"));
  assertEquals([session.wantsInput, readAll(session)], [false, ""]);
  done.resolve([["late", "yes"]]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals([announced, readAll(session)], [1, "late=yes\nerrno=0\n\nerrno=0\n\n"]);
  assertEquals(session.wantsInput, true);
});

Deno.test("a handler that fails late is told like one that fails at once", async () => {
  const { session } = talk("longhaul=echo\n\n", () => {
    return Promise.reject(new ConfigurationError("not so", Errno.EINVAL));
  });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(readAll(session), "error=not so\nerrno=22\n\n");
});

Deno.test("a text of any size and kind passes as short lines", () => {
  for (const text of ["", "a", "[Interface]\r\n\n# ü\u{1f600}=\n".repeat(1000), "x".repeat(360)]) {
    const fields = textFields("config", text);
    assert(fields.every(([, value]) => value.length <= 480 && /^[A-Za-z0-9+/=]*$/.test(value)));
    assertEquals(textOf("config", [["other", "1"], ...fields]), text);
  }
  assertEquals(textOf("config", [["other", "1"]]), null);
  assertThrows(() => textOf("config", [["config", "?"]]), RequestError, "not in base64");
});
